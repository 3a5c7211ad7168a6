//! Nodes and parts into gene models.

use rustc_hash::{FxHashMap, FxHashSet};

use super::biotype::{self, Kind};
use super::facts::{CANONICAL, Facts, UNTAGGED};
use super::features::{self, Row};
use super::reader::{Format, Graph, NONE, Node, Part, gff3_value};
use super::{Annotation, Report};
use crate::error::{Error, Result};
use crate::gene::{Flags, Gene, Interval, Strand, Transcript};

/// CDS parts that overlap by more bases than this belong to different proteins where their ids differ.
const LARGEST_SLIPPAGE: u64 = 2;

/// Gene models from the rows of a file.
pub fn assemble(graph: Graph<'_>) -> Result<Annotation> {
    let mut assembler = Assembler::new(graph);
    assembler.join_repeated();
    assembler.link_parts();
    assembler.settle_roles();
    assembler.link_genes()?;
    assembler.build()
}

struct Assembler<'a> {
    graph: Graph<'a>,
    /// Lists of the parts of each node, and of the transcripts of each gene, in the file's order.
    first_part: Vec<u32>,
    next_part: Vec<u32>,
    first_transcript: Vec<u32>,
    next_transcript: Vec<u32>,
    /// Nodes whose rows are pieces of one trans-spliced feature.
    pieces: FxHashSet<u32>,
    biotypes: FxHashMap<Vec<u8>, (String, Kind, bool)>,
    /// The nodes of ids that several nodes have, by sequence, sorted by start.
    same_id: FxHashMap<(u32, u32), Vec<u32>>,
    part_ids: Option<FxHashSet<&'a [u8]>>,
    report: Report,
}

/// A transcript while its gene is built.
struct Draft {
    transcript: Transcript,
    rank: u8,
    strand: Strand,
    /// The transcript stands for CDS rows of a gene without a transcript of its own.
    of_gene: bool,
}

impl<'a> Assembler<'a> {
    fn new(mut graph: Graph<'a>) -> Self {
        let report = std::mem::take(&mut graph.report);
        Assembler {
            first_part: Vec::new(),
            next_part: Vec::new(),
            first_transcript: Vec::new(),
            next_transcript: Vec::new(),
            pieces: FxHashSet::default(),
            biotypes: FxHashMap::default(),
            same_id: FxHashMap::default(),
            part_ids: None,
            report,
            graph,
        }
    }

    /// Genes and transcripts on several rows: the pieces of a trans-spliced feature are one, others only share an id.
    fn join_repeated(&mut self) {
        let mut firsts: FxHashSet<u32> = FxHashSet::default();
        for &at in &self.graph.repeated {
            let node = &self.graph.nodes[at as usize];
            let first = self.graph.by_number[node.number as usize];
            if firsts.insert(first) {
                let seqid = self.graph.nodes[first as usize].seqid;
                self.same_id.entry((node.number, seqid)).or_default().push(first);
            }
            self.same_id.entry((node.number, node.seqid)).or_default().push(at);
        }
        for nodes in self.same_id.values_mut() {
            nodes.sort_by_key(|&at| self.graph.nodes[at as usize].start);
        }
        for i in 0..self.graph.repeated.len() {
            let at = self.graph.repeated[i];
            let node = &self.graph.nodes[at as usize];
            if !matches!(node.row, Row::Gene | Row::Transcript) {
                continue;
            }
            let first = self.graph.by_number[node.number as usize];
            let other = &self.graph.nodes[first as usize];
            let spliced = |node: &Node<'_>| {
                Facts::of(self.graph.format, node.attributes).trans_splicing
                    || gff3_value(node.attributes, b"part").is_some()
            };
            if spliced(node) || spliced(other) {
                self.pieces.insert(first);
                self.pieces.insert(at);
            } else {
                let graph = &self.graph;
                let place = || format!("{} (line {})", graph.name(node.number), graph.line(node.attributes));
                self.report.count("id used by several genes or transcripts", place);
            }
        }
    }

    /// The node of an id that a child means: of several, one that holds the child, of the row that is wanted.
    fn resolve(&self, number: u32, child: &Child) -> u32 {
        let first = self.graph.by_number[number as usize];
        if first == NONE || self.pieces.contains(&first) {
            return first;
        }
        let Some(nodes) = self.same_id.get(&(number, child.seqid)) else { return first };
        // Sorted by start: the nearest ones that start no later than the child.
        let after = nodes.partition_point(|&at| self.graph.nodes[at as usize].start <= child.start);
        let near = nodes[after.saturating_sub(16)..nodes.len().min(after + 2)].iter().rev();
        let fit = |at: u32| {
            let node = &self.graph.nodes[at as usize];
            let holds = node.start <= child.start && child.end <= node.end;
            let model = matches!(node.row, Row::Gene | Row::Transcript);
            4 * u32::from(holds) + 2 * u32::from(node.row == child.wants) + u32::from(model)
        };
        let best = near.copied().filter(|&at| at != child.at).max_by_key(|&at| fit(at));
        best.unwrap_or(first)
    }

    fn child(&self, at: usize) -> Child {
        let node = &self.graph.nodes[at];
        Child { at: at as u32, seqid: node.seqid, start: node.start, end: node.end, wants: Row::Gene }
    }

    fn parent_of(&self, at: usize) -> u32 {
        match self.graph.nodes[at].parent {
            NONE => NONE,
            parent => self.resolve(parent, &self.child(at)),
        }
    }

    fn link_parts(&mut self) {
        let n = self.graph.parts.len();
        let mut owner = vec![NONE; n];
        for (i, owned) in owner.iter_mut().enumerate() {
            let part = self.graph.parts[i];
            let child = Child { at: NONE, seqid: part.seqid, start: part.start, end: part.end, wants: Row::Transcript };
            let mut at = self.resolve(part.parent, &child);
            if at != NONE {
                let node = &self.graph.nodes[at as usize];
                // A transcript that only its parts name has one sequence.
                if node.row == Row::Region || (part.alone && node.implied && node.seqid != part.seqid) {
                    at = NONE;
                }
            }
            if at == NONE {
                at = self.imply_transcript(&part);
            }
            let node = &mut self.graph.nodes[at as usize];
            if node.implied {
                node.start = node.start.min(part.start);
                node.end = node.end.max(part.end);
            }
            *owned = at;
        }
        self.first_part = vec![NONE; self.graph.nodes.len()];
        self.next_part = vec![NONE; n];
        for i in (0..n).rev() {
            let at = owner[i] as usize;
            self.next_part[i] = std::mem::replace(&mut self.first_part[at], i as u32);
        }
    }

    /// Exons and CDS whose parent is nowhere form a transcript of that id; so does a CDS without a parent.
    fn imply_transcript(&mut self, part: &Part<'a>) -> u32 {
        let at = self.graph.nodes.len() as u32;
        if !part.alone && self.graph.by_number[part.parent as usize] == NONE && !self.is_gene_of_gtf(part) {
            let graph = &self.graph;
            let place = || format!("{} (line {})", graph.name(part.parent), graph.line(part.attributes));
            self.report.count("transcript without a row of its own", place);
        }
        let first = &mut self.graph.by_number[part.parent as usize];
        if *first == NONE {
            *first = at;
        } else {
            self.same_id.entry((part.parent, part.seqid)).or_default().push(at);
        }
        self.graph.nodes.push(Node {
            number: part.parent,
            parent: NONE,
            seqid: part.seqid,
            start: part.start,
            end: part.end,
            strand: part.strand,
            row: Row::Transcript,
            word: NONE,
            implied: true,
            source: &[],
            attributes: &part.attributes[..0],
        });
        at
    }

    /// In GTF a gene needs no row.
    fn is_gene_of_gtf(&self, _part: &Part<'a>) -> bool {
        self.graph.format == Format::Gtf
    }

    /// Rows of other types that exons or CDS name as their parent are transcripts, and so is a gene within a gene.
    fn settle_roles(&mut self) {
        for at in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[at];
            let has_parts = self.first_part[at] != NONE;
            match node.row {
                Row::Other | Row::Implied if has_parts => self.graph.nodes[at].row = Row::Transcript,
                Row::Gene if node.parent != NONE && has_parts => {
                    let parent = self.parent_of(at);
                    let word = node.word;
                    if parent != NONE
                        && self.graph.nodes[parent as usize].row == Row::Gene
                        && !features::is_generic(&self.graph.words[word as usize].text)
                    {
                        self.graph.nodes[at].row = Row::Transcript;
                    }
                }
                Row::Protein if has_parts => {
                    let mut part = self.first_part[at];
                    while part != NONE {
                        let found = self.graph.parts[part as usize];
                        if !found.shared {
                            let graph = &self.graph;
                            let place = || format!("line {}", graph.line(found.attributes));
                            self.report.count("part of a protein, not of a transcript", place);
                        }
                        part = self.next_part[part as usize];
                    }
                }
                _ => {}
            }
        }
    }

    /// Climbs from every transcript to its gene; implies the gene where there is none.
    fn link_genes(&mut self) -> Result<()> {
        self.refuse_cycles()?;
        let n = self.graph.nodes.len();
        let mut gene_of = vec![NONE; n];
        // Genes that only the Parent of transcripts names, and those of transcripts without one.
        let mut implied: FxHashMap<u32, u32> = FxHashMap::default();
        for at in 0..n {
            let node = &self.graph.nodes[at];
            let parts_matter = node.row == Row::Transcript;
            if !parts_matter {
                let parent = node.parent;
                if parent != NONE && self.graph.by_number[parent as usize] == NONE && !self.part_has_id(parent) {
                    let (graph, node) = (&self.graph, &self.graph.nodes[at]);
                    let place = || format!("{} (line {})", graph.name(parent), graph.line(node.attributes));
                    self.report.count("Parent that is nowhere", place);
                }
                continue;
            }
            let mut top = at;
            let mut missing = NONE;
            loop {
                let node = &self.graph.nodes[top];
                if node.parent == NONE {
                    break;
                }
                let parent = self.parent_of(top);
                if parent == NONE {
                    missing = node.parent;
                    break;
                }
                let row = self.graph.nodes[parent as usize].row;
                if !matches!(row, Row::Gene | Row::Transcript) {
                    break;
                }
                top = parent as usize;
                if row == Row::Gene {
                    break;
                }
            }
            gene_of[at] = if self.graph.nodes[top].row == Row::Gene {
                top as u32
            } else if missing != NONE {
                match implied.get(&missing) {
                    Some(&gene) if self.graph.nodes[gene as usize].seqid == self.graph.nodes[top].seqid => gene,
                    _ => {
                        if self.graph.format == Format::Gff3 {
                            let (graph, node) = (&self.graph, &self.graph.nodes[at]);
                            let place = || format!("{} (line {})", graph.name(missing), graph.line(node.attributes));
                            self.report.count("Parent that is nowhere", place);
                        }
                        let gene = self.imply_gene(top, missing);
                        implied.insert(missing, gene);
                        gene
                    }
                }
            } else if top != at && gene_of[top] != NONE {
                gene_of[top]
            } else {
                let number = self.graph.nodes[top].number;
                let gene = self.imply_gene(top, number);
                gene_of[top] = gene;
                gene
            };
        }
        let total = self.graph.nodes.len();
        self.first_part.resize(total, NONE);
        self.first_transcript = vec![NONE; total];
        self.next_transcript = vec![NONE; total];
        for at in (0..n).rev() {
            if self.graph.nodes[at].row == Row::Transcript {
                let gene = gene_of[at] as usize;
                self.next_transcript[at] = std::mem::replace(&mut self.first_transcript[gene], at as u32);
            }
        }
        Ok(())
    }

    /// Whether an id is a part's (exons and CDS are not nodes); the ids of parts are gathered when first asked for.
    fn part_has_id(&mut self, number: u32) -> bool {
        let graph = &self.graph;
        let ids = self
            .part_ids
            .get_or_insert_with(|| graph.parts.iter().filter_map(|part| gff3_value(part.attributes, b"ID")).collect());
        ids.contains(graph.names[number as usize])
    }

    fn imply_gene(&mut self, of: usize, number: u32) -> u32 {
        let node = &self.graph.nodes[of];
        let gene = Node { row: Row::Gene, number, parent: NONE, word: NONE, implied: true, ..node.clone() };
        self.graph.nodes.push(gene);
        self.graph.nodes.len() as u32 - 1
    }

    fn refuse_cycles(&self) -> Result<()> {
        let n = self.graph.nodes.len();
        // 0 not seen, 1 on the path, 2 leads to no cycle.
        let mut state = vec![0u8; n];
        let mut path = Vec::new();
        for start in 0..n {
            let mut at = start as u32;
            while at != NONE && state[at as usize] == 0 {
                state[at as usize] = 1;
                path.push(at);
                at = self.parent_of(at as usize);
            }
            if at != NONE && state[at as usize] == 1 {
                let node = &self.graph.nodes[at as usize];
                let line = self.graph.line(node.attributes);
                let name = self.graph.name(node.number);
                return Err(Error::format(self.graph.path, line, format!("'{name}' is its own ancestor by Parent")));
            }
            for &at in &path {
                state[at as usize] = 2;
            }
            path.clear();
        }
        Ok(())
    }

    /// The canonical word, its kind, and whether the table knows it.
    fn biotype(&mut self, word: &[u8]) -> (String, Kind) {
        if let Some((name, kind, known)) = self.biotypes.get(word) {
            if !known {
                *self.report.unknown_biotypes.entry(name.clone()).or_insert(0) += 1;
            }
            return (name.clone(), *kind);
        }
        let text = self.graph.decode(word);
        let found = biotype::lookup(&text);
        let name = found.map_or_else(|| text.trim().to_owned(), |found| found.name.clone());
        let kind = biotype::kind(&text);
        self.biotypes.insert(word.to_vec(), (name.clone(), kind, found.is_some()));
        if found.is_none() {
            *self.report.unknown_biotypes.entry(name.clone()).or_insert(0) += 1;
        }
        (name, kind)
    }

    fn build(mut self) -> Result<Annotation> {
        let mut genes = Vec::new();
        for at in 0..self.graph.nodes.len() {
            if self.graph.nodes[at].row == Row::Gene {
                self.build_gene(at, &mut genes)?;
            }
        }
        for word in &self.graph.words {
            if matches!(word.row, Row::Other) && word.count > 0 {
                let reason = format!("row of type {} is no part of a gene model", word.text);
                *self.report.counts.entry(reason).or_insert(0) += word.count;
            }
        }
        let regions = &self.graph.regions;
        let mut annotation = Annotation {
            seqids: std::mem::take(&mut self.graph.seqids),
            lengths: regions.iter().map(|r| r.declared.map(|(_, end)| end).or(r.length)).collect(),
            circular: regions.iter().map(|r| r.circular).collect(),
            genetic_codes: regions.iter().map(|r| r.genetic_code).collect(),
            genes,
            report: std::mem::take(&mut self.report),
            path: Some(self.graph.path.to_path_buf()),
            furthest: regions.iter().map(|region| region.furthest).collect(),
        };
        self.check_regions(&mut annotation)?;
        annotation.sort();
        annotation.merge_identical();
        make_ids_unique(&mut annotation);
        Ok(annotation)
    }

    /// Rows past the bounds that `##sequence-region` declares.
    fn check_regions(&self, annotation: &mut Annotation) -> Result<()> {
        for (i, region) in self.graph.regions.iter().enumerate() {
            let Some((start, end)) = region.declared else { continue };
            let line = if region.furthest.0 > end && !region.circular {
                region.furthest.1
            } else if region.nearest.0 < start {
                region.nearest.1
            } else {
                continue;
            };
            let message =
                format!("the row lies outside the ##sequence-region {} {} {end}", annotation.seqids[i], start + 1);
            if !self.graph.options.lenient {
                return Err(Error::format(self.graph.path, line, message));
            }
            let outside = |gene: &Gene| {
                gene.seqid as usize == i
                    && (gene.span.start < start || (gene.span.end > end && !annotation.circular[i]))
            };
            let report = &mut annotation.report;
            annotation.genes.retain(|gene| {
                let out = outside(gene);
                if out {
                    report.count("gene outside its sequence", || gene.id.clone());
                }
                !out
            });
        }
        Ok(())
    }

    fn build_gene(&mut self, at: usize, genes: &mut Vec<Gene>) -> Result<()> {
        let node = self.graph.nodes[at].clone();
        let format = self.graph.format;
        let mut facts = Facts::of(format, node.attributes);
        let mut flags =
            Flags { trans_splicing: facts.trans_splicing || self.pieces.contains(&(at as u32)), ..Flags::default() };

        // What the gene says of its own biotype; an implied gene of GTF says it on its transcripts' rows.
        let first = self.first_transcript[at];
        if node.implied && first != NONE && facts.gene_biotype.is_none() {
            let of_transcript = Facts::of(format, self.graph.nodes[first as usize].attributes);
            facts.gene_biotype = of_transcript.gene_biotype;
            facts.name = facts.name.or(of_transcript.name);
        }
        let word = self.word_of(&node);
        let mut stated = facts.gene_biotype.or(facts.biotype).filter(|word| !word.is_empty()).map(<[u8]>::to_vec);
        if stated.is_none() && !features::is_generic(&word) && !word.is_empty() && !node.implied {
            stated = Some(word.clone().into_bytes());
        }
        if stated.is_none() {
            stated = self.biotype_of_source(&node);
        }
        let mut kind = None;
        let mut biotype = None;
        if let Some(word) = stated {
            let (name, found) = self.biotype(&word);
            (biotype, kind) = (Some(name), Some(found));
        }
        if word.to_ascii_lowercase().contains("pseudogen") || facts.pseudo {
            kind = Some(Kind::Pseudogene);
        }
        if word.to_ascii_lowercase().starts_with("transposable_element") {
            kind = Some(Kind::MobileElement);
        }
        flags.pseudogene = kind == Some(Kind::Pseudogene);
        flags.mobile_element = kind == Some(Kind::MobileElement);

        let mut drafts: Vec<Draft> = Vec::new();
        let mut child = first;
        while child != NONE {
            self.build_transcript(child as usize, &node, kind, biotype.as_deref(), &mut flags, &mut drafts)?;
            child = self.next_transcript[child as usize];
        }
        if self.first_part[at] != NONE {
            self.build_direct_parts(at, &node, kind, biotype.as_deref(), &mut flags, &mut drafts)?;
        }

        // A gene of a known kind of RNA without children is its own transcript.
        let id = if node.number == NONE || self.graph.names[node.number as usize].is_empty() {
            self.invented_id(&node, &facts)
        } else {
            self.graph.name(node.number)
        };
        if drafts.is_empty() && first == NONE && self.first_part[at] == NONE && !node.implied {
            if kind == Some(Kind::Noncoding) && node.strand != Strand::Unknown {
                drafts.push(Draft {
                    transcript: Transcript {
                        id: id.clone(),
                        biotype: biotype.clone().unwrap_or_else(|| "ncRNA".into()),
                        exons: vec![Interval::new(node.start, node.end)],
                        cds: Vec::new(),
                        cds_phase: 0,
                        partial_5: false,
                        partial_3: false,
                        flags: Flags::default(),
                        score: None,
                    },
                    rank: UNTAGGED,
                    strand: node.strand,
                    of_gene: true,
                });
            } else if !flags.pseudogene && !flags.mobile_element {
                self.report.count("gene without transcripts", || id.clone());
            }
        }

        drafts.sort_by(|a, b| {
            let length = |parts: &[Interval]| parts.iter().map(|part| part.len()).sum::<u64>();
            a.rank
                .cmp(&b.rank)
                .then_with(|| length(&b.transcript.cds).cmp(&length(&a.transcript.cds)))
                .then_with(|| length(&b.transcript.exons).cmp(&length(&a.transcript.exons)))
                .then_with(|| a.transcript.id.cmp(&b.transcript.id))
        });
        let mut strand = node.strand;
        if drafts.windows(2).any(|pair| pair[0].strand != pair[1].strand && pair[0].strand != Strand::Unknown) {
            flags.trans_splicing = true;
        } else if let Some(draft) = drafts.first() {
            strand = draft.strand;
        }
        if flags.trans_splicing {
            self.report.count("trans-spliced gene", || id.clone());
            drafts.clear();
        }
        let biotype = biotype.unwrap_or_else(|| match drafts.first() {
            Some(draft) => draft.transcript.biotype.clone(),
            None if flags.pseudogene => "pseudogene".into(),
            None => "protein_coding".into(),
        });
        let mut span = Interval::new(node.start, node.end);
        let parts = drafts.iter().flat_map(|draft| &draft.transcript.exons);
        let (mut low, mut high) = (u64::MAX, 0);
        for part in parts {
            low = low.min(part.start);
            high = high.max(part.end);
        }
        if low < high {
            if node.implied {
                span = Interval::new(low, high);
            } else if low < span.start || high > span.end {
                self.report.count("transcript outside its gene", || id.clone());
                span = Interval::new(low.min(span.start), high.max(span.end));
            }
        }
        if strand == Strand::Unknown {
            self.report.count("gene of unknown strand", || id.clone());
        }
        for draft in &drafts {
            flags.slippage |= draft.transcript.flags.slippage;
            flags.selenoprotein |= draft.transcript.flags.selenoprotein;
        }
        // A transcript that stands for the gene itself bears its id, as gffread has it.
        if let [Draft { of_gene: true, transcript, .. }] = drafts.as_mut_slice() {
            transcript.id.clone_from(&id);
        }
        if flags.pseudogene {
            self.report.count("pseudogene", || id.clone());
        }
        if flags.mobile_element {
            self.report.count("mobile element", || id.clone());
        }
        genes.push(Gene {
            id,
            name: facts.name.map(|name| self.graph.decode(name)),
            seqid: node.seqid,
            span,
            strand,
            biotype,
            flags,
            score: None,
            transcripts: drafts.into_iter().map(|draft| draft.transcript).collect(),
        });
        Ok(())
    }

    fn word_of(&self, node: &Node<'_>) -> String {
        self.graph.words.get(node.word as usize).map_or_else(String::new, |word| word.text.clone())
    }

    /// Old Ensembl GTF has the biotype in the second column.
    fn biotype_of_source(&self, node: &Node<'_>) -> Option<Vec<u8>> {
        (self.graph.format == Format::Gtf && !node.source.is_empty())
            .then(|| biotype::lookup(&String::from_utf8_lossy(node.source)))
            .flatten()
            .map(|found| found.name.clone().into_bytes())
    }

    fn invented_id(&self, node: &Node<'_>, facts: &Facts<'_>) -> String {
        match facts.locus.or(facts.name) {
            Some(name) => self.graph.decode(name),
            None => format!("{}_{}_{}", self.graph.seqids[node.seqid as usize], node.start + 1, node.end),
        }
    }

    fn parts_of(&self, at: usize) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut part = self.first_part[at];
        while part != NONE {
            parts.push(self.graph.parts[part as usize]);
            part = self.next_part[part as usize];
        }
        parts
    }

    fn build_transcript(
        &mut self,
        at: usize,
        gene: &Node<'a>,
        gene_kind: Option<Kind>,
        gene_biotype: Option<&str>,
        gene_flags: &mut Flags,
        drafts: &mut Vec<Draft>,
    ) -> Result<()> {
        let node = self.graph.nodes[at].clone();
        let parts = self.parts_of(at);
        let facts = Facts::of(self.graph.format, node.attributes);
        let id = match node.number {
            NONE => String::new(),
            number => self.graph.name(number),
        };
        let id = if id.is_empty() {
            let own = parts.first().map_or(facts, |part| Facts::of(self.graph.format, part.attributes));
            self.invented_id(&node, &own)
        } else {
            id
        };
        let word = self.word_of(&node);
        let mut stated = facts.transcript_biotype.or(facts.biotype).filter(|word| !word.is_empty()).map(<[u8]>::to_vec);
        if stated.is_none() && !node.implied && !features::is_generic(&word) {
            stated = Some(word.clone().into_bytes());
        }
        if stated.is_none() {
            stated = self.biotype_of_source(&node);
        }
        let mut named = stated.map(|word| self.biotype(&word));
        // The row's type is more than the biotype where it is a kind of RNA, and the biotype repeats the gene's.
        if word.to_ascii_lowercase().starts_with("pseudogenic") || facts.pseudo {
            named = Some(("pseudogene".into(), Kind::Pseudogene));
        }
        let alone = node.implied && gene.implied && gene.number == node.number;
        self.finish_transcript(
            Raw { id, node: &node, parts, facts, named, alone, of_gene: false },
            gene_kind,
            gene_biotype,
            gene_flags,
            drafts,
        )
    }

    /// Exons and CDS right under a gene: in prokaryotes every CDS is a transcript; beside transcripts without a CDS, the
    /// CDS is theirs.
    fn build_direct_parts(
        &mut self,
        at: usize,
        gene: &Node<'a>,
        gene_kind: Option<Kind>,
        gene_biotype: Option<&str>,
        gene_flags: &mut Flags,
        drafts: &mut Vec<Draft>,
    ) -> Result<()> {
        let parts = self.parts_of(at);
        let is_cds = |part: &Part<'_>| matches!(part.row, Row::Cds | Row::CodingExon);
        let (cds, rest): (Vec<Part<'a>>, Vec<Part<'a>>) = parts.into_iter().partition(is_cds);
        let groups = self.proteins(cds);
        let facts = Facts { rank: UNTAGGED, ..Facts::default() };
        if groups.is_empty() {
            if drafts.is_empty() && rest.iter().any(|part| matches!(part.row, Row::Exon | Row::Utr)) {
                let raw =
                    Raw { id: String::new(), node: gene, parts: rest, facts, named: None, alone: false, of_gene: true };
                return self.finish_transcript(raw, gene_kind, gene_biotype, gene_flags, drafts);
            }
            return Ok(());
        }
        let several = groups.len() > 1;
        for group in groups {
            let own_id = gff3_value(group[0].attributes, b"ID").map(|id| self.graph.decode(id));
            let intervals = merged(group.iter().map(|part| Interval::new(part.start, part.end)).collect());
            let mut given = false;
            let empty_cds = drafts.iter_mut().filter(|draft| {
                draft.transcript.cds.is_empty()
                    && biotype::kind(&draft.transcript.biotype) == Kind::Coding
                    && draft.strand == group[0].strand
                    && intervals.iter().all(|&part| draft.transcript.exons.iter().any(|exon| exon.contains(part)))
            });
            for draft in empty_cds {
                let (cds, phase) = chain(&group, draft.strand);
                draft.transcript.cds = cds;
                draft.transcript.cds_phase = phase.unwrap_or(0);
                draft.transcript.partial_5 |= draft.transcript.cds_phase > 0;
                given = true;
            }
            if given {
                continue;
            }
            let mut parts = group;
            if !several && drafts.is_empty() {
                parts.extend(rest.iter().copied());
            }
            let id = own_id.filter(|_| several || !drafts.is_empty()).unwrap_or_default();
            let raw = Raw { id, node: gene, parts, facts, named: None, alone: false, of_gene: true };
            self.finish_transcript(raw, gene_kind, gene_biotype, gene_flags, drafts)?;
        }
        // Several transcripts that would bear the gene's id.
        let gene_id = if gene.number == NONE { String::new() } else { self.graph.name(gene.number) };
        let count = drafts.len();
        for (i, draft) in drafts.iter_mut().enumerate() {
            if count > 1 && draft.transcript.id.is_empty() {
                draft.transcript.id = format!("{gene_id}.cds{}", i + 1);
            }
        }
        Ok(())
    }

    /// Parts that share an id, in order of their first rows; parts without ids are one group.
    fn by_id(&self, parts: Vec<Part<'a>>) -> Vec<Vec<Part<'a>>> {
        let mut groups: Vec<(&[u8], Vec<Part<'a>>)> = Vec::new();
        let mut index: FxHashMap<&[u8], usize> = FxHashMap::default();
        for part in parts {
            let id = match self.graph.format {
                Format::Gff3 => gff3_value(part.attributes, b"ID").unwrap_or(b""),
                Format::Gtf => b"",
            };
            let at = *index.entry(id).or_insert_with(|| {
                groups.push((id, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(part);
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// The CDS right under a gene. Ids tell proteins apart; but where every row has its own id and they read on from one
    /// another (some row does not hold whole codons), they are the pieces of one.
    fn proteins(&self, cds: Vec<Part<'a>>) -> Vec<Vec<Part<'a>>> {
        let mut groups = self.by_id(cds);
        let single = groups.len() > 1 && groups.iter().all(|group| group.len() == 1);
        let whole = |part: &Part<'_>| part.phase.unwrap_or(0) == 0 && (part.end - part.start) % 3 == 0;
        if single && !groups.iter().all(|group| whole(&group[0])) {
            let mut rows: Vec<Part<'a>> = groups.iter().flatten().copied().collect();
            rows.sort_by_key(|part| (part.start, part.end));
            if rows.windows(2).all(|pair| pair[0].end <= pair[1].start) {
                groups = vec![rows];
            }
        }
        groups
    }

    fn finish_transcript(
        &mut self,
        raw: Raw<'a, '_>,
        gene_kind: Option<Kind>,
        gene_biotype: Option<&str>,
        gene_flags: &mut Flags,
        drafts: &mut Vec<Draft>,
    ) -> Result<()> {
        let Raw { id, node, mut parts, mut facts, named, alone, of_gene } = raw;
        // Parts on both strands or on another sequence than their transcript.
        let mut strand = Strand::Unknown;
        let mut mixed = false;
        for part in &parts {
            mixed |= part.seqid != node.seqid;
            if part.strand != Strand::Unknown {
                mixed |= strand != Strand::Unknown && strand != part.strand;
                strand = part.strand;
            }
        }
        if mixed || facts.trans_splicing {
            gene_flags.trans_splicing = true;
            self.report.count("trans-spliced transcript", || id.clone());
            return Ok(());
        }
        if strand == Strand::Unknown {
            strand = node.strand;
        } else if node.strand != Strand::Unknown && node.strand != strand && !node.implied {
            self.report.count("transcript whose parts are on the other strand", || id.clone());
        }
        if self.graph.regions[node.seqid as usize].circular {
            self.wrap(node.seqid, &mut parts);
        }

        let mut exons = Vec::new();
        let mut others = Vec::new();
        let mut stops = Vec::new();
        let mut cds: Vec<Part<'a>> = Vec::new();
        let coding_exons = parts.iter().any(|part| part.row == Row::CodingExon);
        for part in &parts {
            let interval = Interval::new(part.start, part.end);
            match part.row {
                Row::Exon => exons.push(interval),
                Row::Utr => others.push(interval),
                Row::StopCodon => stops.push(interval),
                Row::Selenocysteine => facts.recoded = true,
                Row::CodingExon => cds.push(*part),
                Row::Cds if !coding_exons => cds.push(*part),
                _ => {}
            }
        }

        // The biotype: the row's own word, or what the gene and the CDS say.
        let kind_named = named.as_ref().map(|(_, kind)| *kind);
        let kind = match (gene_kind, kind_named) {
            (Some(Kind::Pseudogene), _) | (_, Some(Kind::Pseudogene)) => Kind::Pseudogene,
            (Some(Kind::MobileElement), _) | (_, Some(Kind::MobileElement)) => Kind::MobileElement,
            (_, Some(kind)) => kind,
            (Some(Kind::Noncoding), None) if !cds.is_empty() && of_gene => Kind::Coding,
            (Some(kind), None) => kind,
            (None, None) => Kind::Coding,
        };
        let mut kind = kind;
        // "transcript" as a word for whatever it may be does not deny a CDS.
        if kind == Kind::Noncoding
            && !cds.is_empty()
            && named.as_ref().is_some_and(|(name, _)| name == "processed_transcript")
        {
            kind = Kind::Coding;
        }
        let first_cds = cds.first().copied();
        if let Some(part) = first_cds {
            let of_cds = Facts::of(self.graph.format, part.attributes);
            if let Some(code) = of_cds.genetic_code {
                self.graph.regions[node.seqid as usize].genetic_code.get_or_insert(code);
            }
            if of_cds.pseudo && kind == Kind::Coding {
                kind = Kind::Pseudogene;
                if of_gene || alone {
                    gene_flags.pseudogene = true;
                }
            }
            facts.slippage |= of_cds.slippage;
            facts.recoded |= of_cds.recoded;
            facts.rank = facts.rank.min(of_cds.rank);
            facts.partial_5 |= of_cds.partial_5;
            facts.partial_3 |= of_cds.partial_3;
            // NCBI marks genes and mRNA partial where only the ends of UTRs are unknown: the CDS row decides.
            (facts.partial_left, facts.partial_right) = (of_cds.partial_left, of_cds.partial_right);
            if of_cds.trans_splicing {
                gene_flags.trans_splicing = true;
                self.report.count("trans-spliced transcript", || id.clone());
                return Ok(());
            }
        }
        if kind != Kind::Coding && !cds.is_empty() {
            if kind == Kind::Noncoding {
                self.report.count("CDS rows of a non-coding transcript, read as exons", || id.clone());
            }
            others.extend(cds.drain(..).map(|part| Interval::new(part.start, part.end)));
            stops.clear();
        }
        let biotype = match named {
            Some((name, Kind::Noncoding)) if name == "processed_transcript" && !cds.is_empty() => {
                gene_biotype.map_or_else(|| "protein_coding".to_owned(), str::to_owned)
            }
            Some((name, _)) => name,
            None => match (gene_biotype, cds.is_empty()) {
                (Some(name), false) if biotype::kind(name) == Kind::Coding => name.to_owned(),
                (_, false) => "protein_coding".into(),
                (Some(name), true) => name.to_owned(),
                (None, true) if kind == Kind::Pseudogene => "pseudogene".into(),
                (None, true) => "ncRNA".into(),
            },
        };

        let groups = self.alternatives(cds);
        let several = groups.len() > 1;
        if several {
            self.report.count("transcript with several CDS, one transcript each", || id.clone());
        }
        let flags = Flags {
            pseudogene: kind == Kind::Pseudogene,
            mobile_element: kind == Kind::MobileElement,
            slippage: facts.slippage,
            selenoprotein: facts.recoded,
            trans_splicing: false,
            canonical: facts.rank <= CANONICAL,
        };
        let exons = merged(exons);
        let (left, right) = (facts.partial_left, facts.partial_right);
        let (at_5, at_3) = if strand == Strand::Reverse { (right, left) } else { (left, right) };
        for (i, group) in groups.into_iter().enumerate() {
            let id = match group.first().and_then(|part| gff3_value(part.attributes, b"ID")) {
                Some(own) if several && i > 0 => self.graph.decode(own),
                _ => id.clone(),
            };
            let mut transcript = Transcript {
                id,
                biotype: biotype.clone(),
                exons: exons.clone(),
                cds: Vec::new(),
                cds_phase: 0,
                partial_5: facts.partial_5 || at_5,
                partial_3: facts.partial_3 || at_3,
                flags,
                score: None,
            };
            if !group.is_empty() {
                self.add_cds(&mut transcript, &group, &stops, strand);
            }
            if transcript.exons.is_empty() {
                let mut parts = transcript.cds.clone();
                parts.extend_from_slice(&others);
                if parts.is_empty() {
                    parts.push(Interval::new(node.start, node.end));
                    if kind == Kind::Coding {
                        self.report.count("coding transcript without a CDS", || transcript.id.clone());
                    }
                }
                transcript.exons = merged_over_slips(parts);
            } else {
                if transcript.cds.is_empty() && kind == Kind::Coding && biotype == "protein_coding" {
                    self.report.count("coding transcript without a CDS", || transcript.id.clone());
                }
                let inside = |part: &Interval| transcript.exons.iter().any(|exon| exon.contains(*part));
                if !transcript.cds.iter().all(inside) || (kind != Kind::Coding && !others.iter().all(inside)) {
                    self.report.count("CDS or UTR outside the exons, which were extended", || transcript.id.clone());
                    let mut parts = std::mem::take(&mut transcript.exons);
                    parts.extend_from_slice(&transcript.cds);
                    if kind != Kind::Coding {
                        parts.extend_from_slice(&others);
                    }
                    transcript.exons = merged_over_slips(parts);
                }
            }
            drafts.push(Draft { transcript, rank: facts.rank, strand, of_gene: of_gene || alone });
        }
        Ok(())
    }

    fn add_cds(&mut self, transcript: &mut Transcript, group: &[Part<'a>], stops: &[Interval], strand: Strand) {
        let (mut cds, phase) = chain(group, strand);
        // A stop codon that the CDS leaves out belongs to it.
        for &stop in stops {
            let beyond = match strand {
                Strand::Reverse => stop.start < cds[0].start,
                _ => stop.end > cds[cds.len() - 1].end,
            };
            if beyond {
                cds.push(stop);
            }
        }
        if cds.len() > group.len() || !stops.is_empty() {
            cds = joined(cds);
        }
        let slips = |pair: &[Interval]| {
            pair[1].start < pair[0].end
                || (pair[1].start - pair[0].end > 0 && pair[1].start - pair[0].end <= LARGEST_SLIPPAGE)
        };
        if cds.windows(2).any(slips) {
            transcript.flags.slippage = true;
        }
        if transcript.flags.slippage {
            self.report.count("programmed frameshift (slippage)", || transcript.id.clone());
        }
        if transcript.flags.selenoprotein {
            self.report.count("selenoprotein", || transcript.id.clone());
        }
        if phase.is_none() {
            self.report.count("CDS without a phase, taken as 0", || transcript.id.clone());
        } else if !transcript.flags.slippage && !phases_agree(group, phase.unwrap_or(0), strand) {
            self.report.count("CDS phase that differs from the reading frame", || transcript.id.clone());
        }
        transcript.cds = cds;
        transcript.cds_phase = phase.unwrap_or(0);
        transcript.partial_5 |= transcript.cds_phase > 0;
    }

    /// Splits the CDS rows of one transcript where rows of different ids overlap: these are different proteins.
    fn alternatives(&self, mut cds: Vec<Part<'a>>) -> Vec<Vec<Part<'a>>> {
        cds.sort_by_key(|part| (part.start, part.end));
        let overlap = |pair: &[Part<'_>]| pair[0].end > pair[1].start + LARGEST_SLIPPAGE;
        if cds.windows(2).any(overlap) && self.graph.format == Format::Gff3 {
            let groups = self.by_id(cds.clone());
            if groups.len() > 1 && groups.iter().all(|group| !group.windows(2).any(overlap)) {
                return groups;
            }
        }
        vec![cds]
    }

    /// On a circular sequence, parts on both sides of the origin: those after it continue past the length.
    fn wrap(&self, seqid: u32, parts: &mut [Part<'a>]) {
        let region = &self.graph.regions[seqid as usize];
        let Some(length) = region.length.or(region.declared.map(|(_, end)| end)) else { return };
        let mut at: Vec<(u64, u64)> = parts.iter().map(|part| (part.start, part.end)).collect();
        at.sort_unstable();
        let touches = at.iter().any(|part| part.0 == 0) && at.iter().any(|part| part.1 == length);
        let gap = at.windows(2).max_by_key(|pair| pair[1].0.saturating_sub(pair[0].1));
        if let Some([_, (after, _)]) = gap.filter(|pair| touches && pair[1].0 - pair[0].1 > length / 2) {
            for part in parts.iter_mut().filter(|part| part.start < *after) {
                part.start += length;
                part.end += length;
            }
        }
    }
}

/// A row in search of its parent.
struct Child {
    /// Its node, which is not its own parent where another has the same id; [`NONE`] for a part.
    at: u32,
    seqid: u32,
    start: u64,
    end: u64,
    wants: Row,
}

struct Raw<'a, 'n> {
    id: String,
    node: &'n Node<'a>,
    parts: Vec<Part<'a>>,
    facts: Facts<'a>,
    named: Option<(String, Kind)>,
    /// A CDS without parent or gene.
    alone: bool,
    /// The parts stand right under the gene.
    of_gene: bool,
}

/// Sorted, with overlapping and touching intervals as one.
fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut out: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match out.last_mut() {
            Some(last) if interval.start <= last.end => last.end = last.end.max(interval.end),
            _ => out.push(interval),
        }
    }
    out
}

/// As [`merged`]; gaps too short for an intron are closed as well.
fn merged_over_slips(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut out: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match out.last_mut() {
            Some(last) if interval.start <= last.end + LARGEST_SLIPPAGE => last.end = last.end.max(interval.end),
            _ => out.push(interval),
        }
    }
    out
}

/// Sorted, with touching intervals as one; overlaps (slippage) stay, repetitions go.
fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    intervals.dedup();
    let mut out: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match out.last_mut() {
            Some(last) if interval.start == last.end => last.end = interval.end,
            _ => out.push(interval),
        }
    }
    out
}

/// The parts of a CDS, sorted, and the phase of the first in transcript direction.
fn chain(group: &[Part<'_>], strand: Strand) -> (Vec<Interval>, Option<u8>) {
    let cds = joined(group.iter().map(|part| Interval::new(part.start, part.end)).collect());
    let first = match strand {
        Strand::Reverse => group.iter().max_by_key(|part| (part.end, part.start)),
        _ => group.iter().min_by_key(|part| (part.start, part.end)),
    };
    (cds, first.and_then(|part| part.phase))
}

/// Whether the phases of all rows are those that the first one's leads to. Rows without a phase agree with any.
fn phases_agree(group: &[Part<'_>], phase: u8, strand: Strand) -> bool {
    let mut parts: Vec<&Part<'_>> = group.iter().collect();
    parts.sort_by_key(|part| (part.start, part.end));
    if strand == Strand::Reverse {
        parts.reverse();
    }
    let mut expected = u64::from(phase);
    for part in parts {
        if part.phase.is_some_and(|phase| u64::from(phase) != expected) {
            return false;
        }
        let length = part.end - part.start;
        expected = (3 - (length + 3 - expected) % 3) % 3;
    }
    true
}

/// Ids name genes and transcripts in what is written: repeated ones get a number.
fn make_ids_unique(annotation: &mut Annotation) {
    // From an id to the next number for its repetitions.
    let mut seen: FxHashMap<String, u32> = FxHashMap::default();
    seen.reserve(annotation.genes.len() * 2);
    let report = &mut annotation.report;
    let mut unique = |id: &mut String| {
        let Some(next) = seen.get(id.as_str()).copied() else {
            seen.insert(id.clone(), 2);
            return;
        };
        report.count("id given twice, numbered", || id.clone());
        let mut number = next;
        while seen.contains_key(&format!("{id}-{number}")) {
            number += 1;
        }
        seen.insert(id.clone(), number + 1);
        *id = format!("{id}-{number}");
        seen.insert(id.clone(), 2);
    };
    for gene in &mut annotation.genes {
        let old = gene.id.clone();
        unique(&mut gene.id);
        let single = gene.transcripts.len() == 1;
        for transcript in &mut gene.transcripts {
            // The one transcript of a gene may bear its id.
            if single && transcript.id == old {
                transcript.id.clone_from(&gene.id);
            } else {
                unique(&mut transcript.id);
            }
        }
    }
}
