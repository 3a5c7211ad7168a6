//! What the attributes of a gene, a transcript or a CDS row say, in the words of every database.

use super::attributes;
use super::reader::Format;

#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    pub name: Option<&'a [u8]>,
    pub gene_biotype: Option<&'a [u8]>,
    pub transcript_biotype: Option<&'a [u8]>,
    /// GFF3's `biotype`, of whatever the row is.
    pub biotype: Option<&'a [u8]>,
    pub pseudo: bool,
    /// The end on the left (right) of the sequence is missing.
    pub partial_left: bool,
    pub partial_right: bool,
    /// The 5' (3') end is missing.
    pub partial_5: bool,
    pub partial_3: bool,
    pub slippage: bool,
    /// An amino acid that the genetic code does not say stands inside the protein: selenocysteine, pyrrolysine.
    pub recoded: bool,
    pub trans_splicing: bool,
    /// Rank among the gene's transcripts by its source's tags; lower is more canonical.
    pub rank: u8,
    pub genetic_code: Option<u32>,
    pub protein_id: Option<&'a [u8]>,
    pub locus: Option<&'a [u8]>,
}

/// Rank of a transcript without tags, and of the last rank that counts as "tagged canonical".
pub const UNTAGGED: u8 = 9;
pub const CANONICAL: u8 = 3;

fn tag_rank(tag: &[u8]) -> u8 {
    match tag {
        b"MANE_Select" | b"MANE Select" => 0,
        b"Ensembl_canonical" | b"RefSeq Select" | b"RefSeq_Select" => 1,
        b"canonical" | b"is_canonical" | b"longest" => 2,
        b"appris_principal_1" | b"appris_principal" => 3,
        b"MANE_Plus_Clinical" | b"MANE Plus Clinical" => 4,
        b"gencode_primary" => 5,
        b"basic" | b"gencode_basic" => 6,
        _ => UNTAGGED,
    }
}

fn is_true(value: &[u8]) -> bool {
    matches!(value, b"true" | b"1" | b"yes" | b"True" | b"TRUE")
}

impl<'a> Facts<'a> {
    pub fn of(format: Format, column: &'a [u8]) -> Facts<'a> {
        let mut facts = Facts { rank: UNTAGGED, ..Facts::default() };
        match format {
            Format::Gff3 => attributes::gff3(column).for_each(|(key, value)| facts.take(key, value)),
            Format::Gtf => attributes::gtf(column).for_each(|(key, value)| facts.take(key, value)),
        }
        facts
    }

    fn take(&mut self, key: &'a [u8], value: &'a [u8]) {
        match key {
            b"Name" | b"gene_name" => self.name = Some(value).filter(|v| !v.is_empty()),
            b"gene" => self.name = self.name.or(Some(value).filter(|v| !v.is_empty())),
            b"biotype" => self.biotype = Some(value),
            b"gene_biotype" | b"gene_type" => self.gene_biotype = Some(value),
            b"transcript_biotype" | b"transcript_type" => self.transcript_biotype = Some(value),
            b"so_term_name" | b"locus_type" => self.gene_biotype = self.gene_biotype.or(Some(value)),
            b"pseudo" => self.pseudo |= value.is_empty() || is_true(value),
            b"pseudogene" => self.pseudo = true,
            // Prodigal: two digits, left and right, 1 where the gene runs off the edge.
            b"partial" => match value {
                b"10" => self.partial_left = true,
                b"01" => self.partial_right = true,
                b"11" => (self.partial_left, self.partial_right) = (true, true),
                _ => {}
            },
            b"start_range" => self.partial_left = true,
            b"end_range" => self.partial_right = true,
            b"tag" => value.split(|&b| b == b',').for_each(|tag| self.tag(tag)),
            b"canonical" | b"is_canonical" | b"longest" if is_true(value) => self.tag(key),
            b"exception" => {
                let lower = value.to_ascii_lowercase();
                self.slippage |= lower.starts_with(b"ribosomal") && lower.ends_with(b"slippage");
                self.trans_splicing |= lower.starts_with(b"trans") && lower.ends_with(b"splicing");
            }
            b"ribosomal_slippage" => self.slippage = true,
            b"trans_splicing" => self.trans_splicing = true,
            b"transl_except" => self.recoded |= is_recoded(value),
            b"transl_table" | b"genetic_code" => {
                self.genetic_code = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
            }
            b"protein_id" => self.protein_id = Some(value),
            b"locus_tag" => self.locus = Some(value),
            _ => {}
        }
    }

    fn tag(&mut self, tag: &[u8]) {
        self.rank = self.rank.min(tag_rank(tag));
        match tag {
            b"cds_start_NF" | b"mRNA_start_NF" => self.partial_5 = true,
            b"cds_end_NF" | b"mRNA_end_NF" => self.partial_3 = true,
            b"seleno" => self.recoded = true,
            _ => {}
        }
    }
}

/// `(pos:1..3,aa:Sec)`, several separated by commas: whether one is neither a start (Met) nor a stop that the poly-A tail
/// completes (TERM).
fn is_recoded(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    text.split("aa:").skip(1).any(|rest| {
        let acid: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        !matches!(acid.as_str(), "met" | "fmet" | "term" | "ter")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_databases() {
        let gff3 = |text: &'static str| Facts::of(Format::Gff3, text.as_bytes());
        assert!(gff3("transl_except=(pos:10..12%2Caa:Sec)").recoded);
        assert!(gff3("transl_except=(pos:1..3,aa:Met),(pos:4..6,aa:Pyl)").recoded);
        assert!(!gff3("transl_except=(pos:1..3,aa:Met),(pos:9,aa:TERM)").recoded);
        assert!(gff3("exception=ribosomal slippage").slippage);
        assert!(gff3("exception=trans-splicing").trans_splicing);
        assert!(gff3("partial=10").partial_left && !gff3("partial=true").partial_left);
        assert!(gff3("partial=true;start_range=.,1").partial_left);
        assert_eq!(gff3("tag=basic,MANE Select").rank, 0);
        let gtf = Facts::of(Format::Gtf, b"gene_biotype \"x\"; tag \"basic\"; tag \"cds_start_NF\"; tag \"seleno\";");
        assert_eq!((gtf.gene_biotype, gtf.rank), (Some(&b"x"[..]), 6));
        assert!(gtf.partial_5 && gtf.recoded && !gtf.partial_3);
    }
}
