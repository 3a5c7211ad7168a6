//! Gene annotation: GFF3, GTF and GenBank into gene models, and gene models into GFF3.
