//! Finds the parent of every row: parts of transcripts, transcripts of genes.

use rustc_hash::{FxHashMap, FxHashSet};

use super::assemble::Assembler;
use super::facts::Facts;
use super::features::{Row, Says};
use super::reader::{Format, NONE, Node, Part, gff3_value};
use crate::error::{Error, Result};

impl<'a> Assembler<'a> {
    /// Genes and transcripts on several rows: the pieces of a trans-spliced feature are one, others only share an id.
    pub(super) fn join_repeated(&mut self) {
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

    pub(super) fn link_parts(&mut self) {
        let n = self.graph.parts.len();
        self.first_part = vec![NONE; self.graph.nodes.len()];
        self.next_part = vec![NONE; n];
        let mut last_part = vec![NONE; self.graph.nodes.len()];
        for i in 0..n {
            let part = self.graph.parts[i];
            let child = Child { at: NONE, seqid: part.seqid, start: part.start, end: part.end, wants: Row::Transcript };
            let mut at = self.resolve(part.parent, &child);
            if at != NONE {
                let node = &self.graph.nodes[at as usize];
                // A transcript that only its parts name has one sequence.
                if node.row == Row::Region || (part.alone() && node.implied && node.seqid != part.seqid) {
                    at = NONE;
                }
            }
            if at == NONE && part.shared() && self.is_protein_beside_transcript(i) {
                self.report
                    .count("protein without a row, named beside its transcript", || self.graph.name(part.parent));
                continue;
            }
            if at == NONE {
                at = self.imply_transcript(&part);
            }
            let node = &mut self.graph.nodes[at as usize];
            if node.implied {
                node.start = node.start.min(part.start);
                node.end = node.end.max(part.end);
            }
            last_part.resize(self.graph.nodes.len(), NONE);
            self.first_part.resize(self.graph.nodes.len(), NONE);
            match std::mem::replace(&mut last_part[at as usize], i as u32) {
                NONE => self.first_part[at as usize] = i as u32,
                last => self.next_part[last as usize] = i as u32,
            }
        }
    }

    /// TAIR lists a transcript and its protein as parents of a CDS: where neither has a row, one transcript is enough.
    fn is_protein_beside_transcript(&self, at: usize) -> bool {
        let part = &self.graph.parts[at];
        let Some(transcript) = self.graph.names[part.parent].strip_suffix(b"-Protein") else { return false };
        let same_row = |other: &&Part| other.place() == part.place();
        let before = self.graph.parts[..at].iter().rev().take_while(same_row);
        let after = self.graph.parts[at + 1..].iter().take_while(same_row);
        before.chain(after).any(|other| self.graph.names[other.parent] == transcript)
    }

    /// Exons and CDS whose parent is nowhere form a transcript of that id; so does a CDS without a parent.
    fn imply_transcript(&mut self, part: &Part) -> u32 {
        let at = self.graph.nodes.len() as u32;
        if !part.alone() && self.graph.by_number[part.parent as usize] == NONE && !self.is_gene_of_gtf(part) {
            let graph = &self.graph;
            let place = || format!("{} (line {})", graph.name(part.parent), graph.line(graph.attributes(part)));
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
            strand: part.strand(),
            row: Row::Transcript,
            word: NONE,
            implied: true,
            source: &[],
            attributes: &self.graph.attributes(part)[..0],
        });
        at
    }

    /// In GTF a gene needs no row.
    fn is_gene_of_gtf(&self, _part: &Part) -> bool {
        self.graph.format == Format::Gtf
    }

    /// Rows of other types that exons or CDS name as their parent are transcripts, and so is a gene within a gene.
    pub(super) fn settle_roles(&mut self) {
        for at in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[at];
            let has_parts = self.first_part[at] != NONE;
            match node.row {
                Row::Other | Row::Implied if has_parts => {
                    if node.row == Row::Other {
                        self.graph.words[node.word as usize].count -= 1;
                    }
                    self.graph.nodes[at].row = Row::Transcript;
                }
                Row::Gene if node.parent != NONE && has_parts => {
                    let parent = self.parent_of(at);
                    let word = node.word;
                    if parent != NONE
                        && self.graph.nodes[parent as usize].row == Row::Gene
                        && self.graph.words[word as usize].says != Says::Nothing
                    {
                        self.graph.nodes[at].row = Row::Transcript;
                    }
                }
                Row::Protein if has_parts => {
                    let mut part = self.first_part[at];
                    while part != NONE {
                        let found = self.graph.parts[part as usize];
                        if !found.shared() {
                            let graph = &self.graph;
                            let place = || format!("line {}", graph.line(graph.attributes(&found)));
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
    pub(super) fn link_genes(&mut self) -> Result<()> {
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
        let ids = self.part_ids.get_or_insert_with(|| {
            graph.parts.iter().filter_map(|part| gff3_value(graph.attributes(part), b"ID")).collect()
        });
        ids.contains(graph.names[number])
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
