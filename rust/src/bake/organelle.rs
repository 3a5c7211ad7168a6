//! Which sequences belong to organelles.

/// The genome that a sequence is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Organelle {
    Mitochondrion,
    Plastid,
}

impl Organelle {
    /// From a sequence's id and the rest of its FASTA header.
    pub fn of(id: &str, description: &str) -> Option<Organelle> {
        let id = id.to_ascii_lowercase();
        let name = id.strip_prefix("chromosome").or_else(|| id.strip_prefix("chr")).unwrap_or(&id);
        match name.trim_matches(['_', '-', '.']) {
            "m"
            | "mt"
            | "mito"
            | "mtdna"
            | "mtgenome"
            | "mitochondrion"
            | "mitochondrial"
            | "mitochondria"
            | "mitochondrion_genome"
            | "dmel_mitochondrion_genome" => return Some(Organelle::Mitochondrion),
            "pt" | "ptdna" | "cp" | "cpdna" | "plastid" | "chloroplast" | "api" | "apicoplast" => {
                return Some(Organelle::Plastid);
            }
            // `ChrC` of Arabidopsis; a sequence that is called `C` alone may be anything.
            "c" if id != "c" => return Some(Organelle::Plastid),
            _ => {}
        }
        let description = description.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
        // A nuclear sequence may be described by a gene with a mitochondrial product.
        if says(&["nuclear gene", "nuclear copy", "plasmid"]) {
            None
        } else if says(&["mitochondri", "kinetoplast"]) {
            Some(Organelle::Mitochondrion)
        } else if says(&["chloroplast", "plastid", "apicoplast"]) {
            Some(Organelle::Plastid)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_descriptions() {
        use Organelle::*;
        for (id, description, expected) in [
            ("chrM", "", Some(Mitochondrion)),
            ("chrmt", "", Some(Mitochondrion)),
            ("MT", "dna:chromosome", Some(Mitochondrion)),
            ("Mito", "", Some(Mitochondrion)),
            ("mitochondrial", "", Some(Mitochondrion)),
            ("ChrC", "CHROMOSOME dumped", Some(Plastid)),
            ("Pt", "", Some(Plastid)),
            ("NC_001224.1", "Saccharomyces cerevisiae S288C mitochondrion, complete genome", Some(Mitochondrion)),
            ("NC_000932.1", "Arabidopsis thaliana chloroplast, complete genome", Some(Plastid)),
            ("chrI", "", None),
            ("C", "", None),
            ("C1", "", None),
            ("NC_001133.9", "Saccharomyces cerevisiae S288C chromosome I, complete sequence", None),
            ("x", "nuclear gene for mitochondrial product", None),
        ] {
            assert_eq!(Organelle::of(id, description), expected, "{id} {description}");
        }
    }
}
