//! What a feature type (column 3) is to a gene model.

use super::biotype::{self, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Gene,
    Transcript,
    Exon,
    Cds,
    /// A GFF2 word for a coding part, in files whose CDS row spans all of them.
    CodingExon,
    Utr,
    StartCodon,
    StopCodon,
    Selenocysteine,
    /// Follows from exons: introns, splice sites, protein features.
    Implied,
    /// A protein; its children belong to a transcript as well.
    Protein,
    /// A whole sequence or a part of it: tells length and topology.
    Region,
    /// Anything else: used only where exons or CDS name it as their parent.
    Other,
}

impl Row {
    /// In the order of their discriminants.
    pub const ALL: [Row; 13] = {
        use Row::*;
        [
            Gene,
            Transcript,
            Exon,
            Cds,
            CodingExon,
            Utr,
            StartCodon,
            StopCodon,
            Selenocysteine,
            Implied,
            Protein,
            Region,
            Other,
        ]
    };

    /// Rows that are parts of a transcript.
    pub fn is_part(self) -> bool {
        use Row::*;
        matches!(self, Exon | Cds | CodingExon | Utr | StartCodon | StopCodon | Selenocysteine)
    }
}

pub fn classify(word: &str) -> Row {
    let lower = word.to_ascii_lowercase().replace([' ', '-'], "_");
    match lower.as_str() {
        "gene" | "nuclear_gene" => Row::Gene,
        "exon" | "noncoding_exon" | "pseudogenic_exon" | "pseudogenic_cds" | "pseudogenic_coding_exon" => Row::Exon,
        "cds" => Row::Cds,
        "coding_exon" => Row::CodingExon,
        "five_prime_utr"
        | "three_prime_utr"
        | "5utr"
        | "3utr"
        | "5'utr"
        | "3'utr"
        | "5'_utr"
        | "3'_utr"
        | "utr"
        | "utr5"
        | "utr3"
        | "utr_5"
        | "utr_3"
        | "5_utr"
        | "3_utr"
        | "five_prime_untranslated_region"
        | "three_prime_untranslated_region"
        | "untranslated_region"
        | "noncoding_exon_utr"
        | "five_prime_noncoding_exon"
        | "three_prime_noncoding_exon" => Row::Utr,
        "start_codon" => Row::StartCodon,
        "stop_codon" => Row::StopCodon,
        "selenocysteine" | "stop_codon_redefined_as_selenocysteine" | "stop_codon_redefined_as_pyrrolysine" => {
            Row::Selenocysteine
        }
        "intron"
        | "five_prime_cis_splice_site"
        | "three_prime_cis_splice_site"
        | "splice5"
        | "splice3"
        | "tss"
        | "tts"
        | "five_prime_utr_intron"
        | "three_prime_utr_intron"
        | "inter_cds"
        | "transcription_start_site"
        | "transcription_end_site"
        | "signal_peptide"
        | "sig_peptide"
        | "mat_peptide"
        | "mature_protein_region"
        | "propeptide"
        | "transit_peptide"
        | "signal_peptide_region_of_cds"
        | "mature_protein_region_of_cds"
        | "signal_peptide_region"
        | "plus_1_translational_frameshift"
        | "minus_1_translational_frameshift" => Row::Implied,
        "protein" | "polypeptide" => Row::Protein,
        "region"
        | "chromosome"
        | "contig"
        | "supercontig"
        | "scaffold"
        | "ultracontig"
        | "plasmid"
        | "source"
        | "mitochondrial_chromosome"
        | "chloroplast_chromosome"
        | "sequence" => Row::Region,
        "transposable_element"
        | "mobile_genetic_element"
        | "ltr_retrotransposon"
        | "retrotransposon"
        | "transposon"
        | "non_ltr_retrotransposon"
        | "insertion_sequence"
        | "transposon_fragment"
        | "mobile_element"
        | "orf"
        | "coding"
        | "artifact"
        | "vault"
        | "prediction"
        | "retained_intron"
        | "transcript_region"
        | "enhancer_rna"
        | "pirna_cluster"
        | "pseudogenic_region"
        | "autocatalytically_spliced_intron" => Row::Other,
        "mrna_te_gene" => Row::Transcript,
        _ if lower.ends_with("_gene") || lower.ends_with("pseudogene") => Row::Gene,
        _ => match biotype::lookup(&lower) {
            Some(found) if found.kind == Kind::Pseudogene && !lower.starts_with("pseudogenic") => Row::Gene,
            Some(_) => Row::Transcript,
            None if lower.ends_with("_transcript") || lower.ends_with("rna") => Row::Transcript,
            None => Row::Other,
        },
    }
}

/// What a gene's or a transcript's type says of its biotype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Nothing,
    Pseudogene,
    MobileElement,
    Other,
}

pub fn says(word: &str) -> Says {
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "gene" | "nuclear_gene" | "transcript" | "primary_transcript" | "cds" | "exon" | "rna" => Says::Nothing,
        word if word.contains("pseudogen") => Says::Pseudogene,
        word if word.starts_with("transposable_element") => Says::MobileElement,
        _ => Says::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_by_discriminant() {
        assert!(Row::ALL.iter().enumerate().all(|(i, &row)| row as usize == i));
    }

    #[test]
    fn words() {
        for (word, row) in [
            ("gene", Row::Gene),
            ("geNe", Row::Gene),
            ("ncRNA_gene", Row::Gene),
            ("pseudogene", Row::Gene),
            ("transposable_element_gene", Row::Gene),
            ("mRNA", Row::Transcript),
            ("mRNA_TE_gene", Row::Transcript),
            ("pseudogenic_transcript", Row::Transcript),
            ("V_gene_segment", Row::Transcript),
            ("new_kind_RNA", Row::Transcript),
            ("miRNA primary transcript", Row::Transcript),
            ("three_prime_utr", Row::Utr),
            ("5'-UTR", Row::Utr),
            ("cds", Row::Cds),
            ("transposable_element", Row::Other),
            ("EST_match", Row::Other),
        ] {
            assert_eq!(classify(word), row, "{word}");
        }
    }
}
