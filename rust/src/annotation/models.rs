//! Linked rows into genes and transcripts.

use rustc_hash::FxHashMap;

use super::assemble::Builder;
use super::biotype::{self, Kind};
use super::facts::{CANONICAL, Facts, UNTAGGED};
use super::features::{Row, Says};
use super::reader::{Format, Graph, NONE, Node, Part, gff3_value};
use crate::gene::{Flags, Gene, Interval, Strand, Transcript};

/// CDS parts that overlap by more bases than this belong to different proteins where their ids differ.
const LARGEST_SLIPPAGE: u64 = 2;

/// Pairs of CDS and transcripts that are compared within a gene.
const LARGEST_GENE: usize = 100_000;

/// A transcript while its gene is built.
pub(super) struct Draft {
    transcript: Transcript,
    rank: u8,
    strand: Strand,
    /// The transcript stands for CDS rows of a gene without a transcript of its own.
    of_gene: bool,
}

impl<'a> Builder<'_, 'a> {
    /// The canonical word, its kind, and whether the table knows it.
    fn biotype(&mut self, word: &'a [u8]) -> (String, Kind) {
        if let Some((name, kind, known)) = self.biotypes.get(word) {
            if !known {
                *self.built.report.unknown_biotypes.entry(name.clone()).or_insert(0) += 1;
            }
            return (name.clone(), *kind);
        }
        let text = self.linked.graph.decode(word);
        let found = biotype::lookup(&text);
        let name = found.map_or_else(|| text.trim().to_owned(), |found| found.name.clone());
        let kind = biotype::kind(&text);
        self.biotypes.insert(word, (name.clone(), kind, found.is_some()));
        if found.is_none() {
            *self.built.report.unknown_biotypes.entry(name.clone()).or_insert(0) += 1;
        }
        (name, kind)
    }

    pub(super) fn build_gene(&mut self, at: usize) {
        let node = &self.linked.graph.nodes[at];
        let format = self.linked.graph.format;
        let mut facts = Facts::of(format, node.attributes);
        let mut flags = Flags {
            trans_splicing: facts.trans_splicing || self.linked.pieces.contains(&(at as u32)),
            ..Flags::default()
        };

        // What the gene says of its own biotype; an implied gene of GTF says it on its transcripts' rows.
        let first = self.linked.first_transcript[at];
        if node.implied && first != NONE && facts.gene_biotype.is_none() {
            let of_transcript = Facts::of(format, self.linked.graph.nodes[first as usize].attributes);
            facts.gene_biotype = of_transcript.gene_biotype;
            facts.name = facts.name.or(of_transcript.name);
        }
        let says = if node.implied { Says::Nothing } else { self.says(node) };
        let stated = facts.gene_biotype.or(facts.biotype).filter(|word| !word.is_empty());
        let stated = stated.or_else(|| self.biotype_of_row(node, says));
        let (biotype, mut kind) = stated.map(|word| self.biotype(word)).unzip();
        if says == Says::Pseudogene || facts.pseudo {
            kind = Some(Kind::Pseudogene);
        } else if says == Says::MobileElement {
            kind = Some(Kind::MobileElement);
        }
        flags.pseudogene = kind == Some(Kind::Pseudogene);
        flags.mobile_element = kind == Some(Kind::MobileElement);

        let mut drafts = std::mem::take(&mut self.drafts);
        let mut direct =
            if self.linked.first_part[at] == NONE { Direct::default() } else { self.direct_parts(at, first) };
        let mut child = first;
        while child != NONE {
            let given = direct.given.remove(&child).unwrap_or_default();
            self.build_transcript(child as usize, given, node, kind, biotype.as_deref(), &mut flags, &mut drafts);
            child = self.linked.next_transcript[child as usize];
        }
        self.build_direct_parts(direct, node, kind, biotype.as_deref(), &mut flags, &mut drafts);

        // A gene of a known kind of RNA without children is its own transcript.
        let id = if node.number == NONE || self.linked.graph.names[node.number].is_empty() {
            self.invented_id(node, &facts)
        } else {
            self.linked.graph.name(node.number)
        };
        if drafts.is_empty() && first == NONE && self.linked.first_part[at] == NONE && !node.implied {
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
                self.built.report.count("gene without transcripts", || id.clone());
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
            self.built.report.count("trans-spliced gene", || id.clone());
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
                self.built.report.count("transcript outside its gene", || id.clone());
                span = Interval::new(low.min(span.start), high.max(span.end));
            }
        }
        if strand == Strand::Unknown {
            self.built.report.count("gene of unknown strand", || id.clone());
        }
        if !drafts.is_empty() && drafts.iter().all(|draft| draft.transcript.flags.pseudogene) {
            flags.pseudogene = true;
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
            self.built.report.count("pseudogene", || id.clone());
        }
        if flags.mobile_element {
            self.built.report.count("mobile element", || id.clone());
        }
        self.built.genes.push(Gene {
            id,
            name: facts.name.map(|name| self.linked.graph.decode(name)),
            seqid: node.seqid,
            span,
            strand,
            biotype,
            flags,
            score: None,
            // As many as there are: models stay in memory, drafts are used again.
            transcripts: drafts.drain(..).map(|draft| draft.transcript).collect(),
        });
        self.drafts = drafts;
    }

    fn says(&self, node: &Node<'_>) -> Says {
        self.linked.graph.words.get(node.word as usize).map_or(Says::Nothing, |word| word.says)
    }

    /// The biotype by the row's type, else by the second column, which is one in old Ensembl GTF.
    fn biotype_of_row(&self, node: &Node<'a>, says: Says) -> Option<&'a [u8]> {
        if says != Says::Nothing {
            return Some(self.linked.graph.words[node.word as usize].raw);
        }
        let known =
            self.linked.graph.format == Format::Gtf && biotype::lookup(&String::from_utf8_lossy(node.source)).is_some();
        known.then_some(node.source)
    }

    fn invented_id(&mut self, node: &Node<'_>, facts: &Facts<'_>) -> String {
        self.built.ids_may_repeat = true;
        match facts.locus.or(facts.name) {
            Some(name) => self.linked.graph.decode(name),
            None => format!("{}_{}_{}", self.linked.graph.seqids[node.seqid as usize], node.start + 1, node.end),
        }
    }

    fn own_id(&self, part: &Part) -> Option<&'a [u8]> {
        gff3_value(self.linked.graph.attributes(part), b"ID")
    }

    fn parts_of(&self, at: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        self.add_parts_of(at, &mut parts);
        parts
    }

    fn add_parts_of(&self, at: usize, parts: &mut Vec<Part>) {
        let mut part = self.linked.first_part[at];
        while part != NONE {
            parts.push(self.linked.graph.parts[part as usize]);
            part = self.linked.next_part[part as usize];
        }
    }

    #[expect(clippy::too_many_arguments)]
    fn build_transcript(
        &mut self,
        at: usize,
        given: Vec<Part>,
        gene: &Node<'a>,
        gene_kind: Option<Kind>,
        gene_biotype: Option<&str>,
        gene_flags: &mut Flags,
        drafts: &mut Vec<Draft>,
    ) {
        let node = &self.linked.graph.nodes[at];
        let mut parts = std::mem::take(&mut self.scratch);
        parts.clear();
        self.add_parts_of(at, &mut parts);
        parts.extend(given);
        let facts = Facts::of(self.linked.graph.format, node.attributes);
        let id = match node.number {
            NONE => String::new(),
            number => self.linked.graph.name(number),
        };
        let id = if id.is_empty() {
            let format = self.linked.graph.format;
            let own = parts.first().map_or(facts, |part| Facts::of(format, self.linked.graph.attributes(part)));
            self.invented_id(node, &own)
        } else {
            id
        };
        let says = if node.implied { Says::Nothing } else { self.says(node) };
        let stated = facts.transcript_biotype.or(facts.biotype).filter(|word| !word.is_empty());
        let stated = stated.or_else(|| self.biotype_of_row(node, says));
        let mut named = stated.map(|word| self.biotype(word));
        if says == Says::Pseudogene || facts.pseudo {
            named = Some(("pseudogene".into(), Kind::Pseudogene));
        }
        let alone = node.implied && gene.implied && gene.number == node.number;
        let raw = Raw { id, node, facts, named, alone, of_gene: false };
        self.finish_transcript(raw, &mut parts, gene_kind, gene_biotype, gene_flags, drafts);
        self.scratch = parts;
    }

    /// Exons and CDS right under a gene. In prokaryotes every CDS is a transcript; beside mRNA without a CDS that hold it,
    /// the CDS is theirs.
    fn direct_parts(&self, gene: usize, first: u32) -> Direct {
        let is_cds = |part: &Part| matches!(part.row(), Row::Cds | Row::CodingExon);
        let (cds, rest): (Vec<Part>, Vec<Part>) = self.parts_of(gene).into_iter().partition(is_cds);
        let mut direct = Direct { rest, ..Direct::default() };
        // The exons of mRNA without a CDS.
        let mut free: Vec<(u32, Vec<Interval>)> = Vec::new();
        let mut child = first;
        while child != NONE {
            let node = &self.linked.graph.nodes[child as usize];
            let parts = self.parts_of(child as usize);
            let word = self.linked.graph.words.get(node.word as usize);
            let coding = word.is_some_and(|w| w.says == Says::Nothing || biotype::kind(&w.text) == Kind::Coding);
            if coding && !parts.iter().any(is_cds) {
                let exons = match parts.iter().any(|part| part.row() == Row::Exon) {
                    true => merged(parts.iter().map(|part| Interval::new(part.start, part.end)).collect(), 0),
                    false => vec![Interval::new(node.start, node.end)],
                };
                free.push((child, exons));
            }
            child = self.linked.next_transcript[child as usize];
        }
        let proteins = self.proteins(cds);
        // A gene with thousands of both is no gene; comparing each with each would take forever.
        if proteins.len().saturating_mul(free.len()) > LARGEST_GENE {
            free.clear();
        }
        for group in proteins {
            let mut given = false;
            for (child, exons) in &free {
                let strand = self.linked.graph.nodes[*child as usize].strand;
                let holds = |cds: &Part| lies_in(exons, Interval::new(cds.start, cds.end));
                if strand == group[0].strand() && group.iter().all(holds) {
                    direct.given.entry(*child).or_default().extend(group.iter().copied());
                    given = true;
                }
            }
            if !given {
                direct.proteins.push(group);
            }
        }
        direct
    }

    fn build_direct_parts(
        &mut self,
        direct: Direct,
        gene: &Node<'a>,
        gene_kind: Option<Kind>,
        gene_biotype: Option<&str>,
        gene_flags: &mut Flags,
        drafts: &mut Vec<Draft>,
    ) {
        let Direct { proteins: groups, mut rest, .. } = direct;
        if groups.is_empty() && rest.is_empty() {
            return;
        }
        // The gene's row speaks for a transcript without one; a CDS row then has its own word.
        let of_row = Facts::of(self.linked.graph.format, gene.attributes);
        let facts = Facts {
            rank: UNTAGGED,
            partial_left: of_row.partial_left,
            partial_right: of_row.partial_right,
            ..Facts::default()
        };
        if groups.is_empty() {
            if drafts.is_empty() && rest.iter().any(|part| matches!(part.row(), Row::Exon | Row::Utr)) {
                let raw = Raw { id: String::new(), node: gene, facts, named: None, alone: false, of_gene: true };
                self.finish_transcript(raw, &mut rest, gene_kind, gene_biotype, gene_flags, drafts);
            }
            return;
        }
        let several = groups.len() > 1;
        for group in groups {
            let own_id = self.own_id(&group[0]).map(|id| self.linked.graph.decode(id));
            let mut parts = group;
            if !several && drafts.is_empty() {
                parts.extend(rest.iter().copied());
            }
            let id = own_id.filter(|_| several || !drafts.is_empty()).unwrap_or_default();
            let raw = Raw { id, node: gene, facts, named: None, alone: false, of_gene: true };
            self.finish_transcript(raw, &mut parts, gene_kind, gene_biotype, gene_flags, drafts);
        }
        self.built.ids_may_repeat |= several || !drafts.is_empty();
        // Several transcripts that would bear the gene's id.
        let gene_id = if gene.number == NONE { String::new() } else { self.linked.graph.name(gene.number) };
        let count = drafts.len();
        for (i, draft) in drafts.iter_mut().enumerate() {
            if count > 1 && draft.transcript.id.is_empty() {
                draft.transcript.id = format!("{gene_id}.cds{}", i + 1);
            }
        }
    }

    /// Parts that share an id, in order of their first rows; parts without ids are one group.
    fn by_id(&self, parts: Vec<Part>) -> Vec<Vec<Part>> {
        let mut groups: Vec<(&[u8], Vec<Part>)> = Vec::new();
        let mut index: FxHashMap<&[u8], usize> = FxHashMap::default();
        for part in parts {
            let id = match self.linked.graph.format {
                Format::Gff3 => self.own_id(&part).unwrap_or(b""),
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
    fn proteins(&self, cds: Vec<Part>) -> Vec<Vec<Part>> {
        let mut groups = self.by_id(cds);
        let single = groups.len() > 1 && groups.iter().all(|group| group.len() == 1);
        let whole = |part: &Part| part.phase().unwrap_or(0) == 0 && (part.end - part.start) % 3 == 0;
        if single && !groups.iter().all(|group| whole(&group[0])) {
            let mut rows: Vec<Part> = groups.iter().flatten().copied().collect();
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
        parts: &mut [Part],
        gene_kind: Option<Kind>,
        gene_biotype: Option<&str>,
        gene_flags: &mut Flags,
        drafts: &mut Vec<Draft>,
    ) {
        let Raw { mut id, node, mut facts, named, alone, of_gene } = raw;
        // Parts on both strands or on another sequence than their transcript.
        let mut strand = Strand::Unknown;
        let mut mixed = false;
        for part in parts.iter() {
            mixed |= part.seqid != node.seqid;
            if part.strand() != Strand::Unknown {
                mixed |= strand != Strand::Unknown && strand != part.strand();
                strand = part.strand();
            }
        }
        if mixed || facts.trans_splicing {
            gene_flags.trans_splicing = true;
            self.built.report.count("trans-spliced transcript", || shown(&self.linked.graph, &id, node.number));
            return;
        }
        if strand == Strand::Unknown {
            strand = node.strand;
        } else if node.strand != Strand::Unknown && node.strand != strand && !node.implied {
            self.built.report.count("transcript whose parts are on the other strand", || {
                shown(&self.linked.graph, &id, node.number)
            });
        }
        if self.linked.graph.regions[node.seqid as usize].circular {
            self.wrap(node.seqid, parts);
        }

        let count = |row: Row| parts.iter().filter(|part| part.row() == row).count();
        let coding_exons = count(Row::CodingExon) > 0;
        // Exons stay in memory with the room that they are given here.
        let mut exons = Vec::with_capacity(count(Row::Exon));
        let mut cds: Vec<Part> = Vec::with_capacity(count(if coding_exons { Row::CodingExon } else { Row::Cds }));
        let mut others = Vec::new();
        let mut stops = Vec::new();
        for part in parts.iter() {
            let interval = Interval::new(part.start, part.end);
            match part.row() {
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
            let of_cds = Facts::of(self.linked.graph.format, self.linked.graph.attributes(&part));
            if let Some(code) = of_cds.genetic_code {
                self.built.genetic_codes.entry(node.seqid).or_insert(code);
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
                self.built.report.count("trans-spliced transcript", || shown(&self.linked.graph, &id, node.number));
                return;
            }
        }
        if matches!(kind, Kind::Noncoding | Kind::Pseudogene) && !cds.is_empty() {
            if kind == Kind::Noncoding {
                self.built.report.count("CDS rows of a non-coding transcript, read as exons", || {
                    shown(&self.linked.graph, &id, node.number)
                });
            }
            others.extend(cds.drain(..).map(|part| Interval::new(part.start, part.end)));
            stops.clear();
        }
        let mut biotype = match named {
            Some((name, Kind::Noncoding)) if name == "processed_transcript" && !cds.is_empty() => {
                gene_biotype.map_or_else(|| "protein_coding".to_owned(), str::to_owned)
            }
            Some((_, Kind::Coding)) if kind == Kind::Pseudogene => "pseudogene".into(),
            Some((name, _)) => name,
            None => match (gene_biotype, cds.is_empty()) {
                _ if kind == Kind::Pseudogene => "pseudogene".into(),
                (Some(name), false) if biotype::kind(name) != Kind::Noncoding => name.to_owned(),
                (_, false) => "protein_coding".into(),
                (Some(name), true) => name.to_owned(),
                (None, true) => "ncRNA".into(),
            },
        };

        cds.sort_by_key(|part| (part.start, part.end));
        let alternatives = self.alternatives(&cds);
        let several = !alternatives.is_empty();
        let groups = if several { alternatives } else { vec![cds] };
        if several {
            self.built.report.count("transcript with several CDS, one transcript each", || {
                shown(&self.linked.graph, &id, node.number)
            });
        }
        let flags = Flags {
            pseudogene: kind == Kind::Pseudogene,
            mobile_element: kind == Kind::MobileElement,
            slippage: facts.slippage,
            selenoprotein: facts.recoded,
            trans_splicing: false,
            canonical: facts.rank <= CANONICAL,
        };
        let mut exons = merged(exons, 0);
        let (left, right) = (facts.partial_left, facts.partial_right);
        let (at_5, at_3) = if strand == Strand::Reverse { (right, left) } else { (left, right) };
        for (i, group) in groups.into_iter().enumerate() {
            let id = match group.first().and_then(|part| self.own_id(part)) {
                Some(own) if several && i > 0 => {
                    self.built.ids_may_repeat = true;
                    self.linked.graph.decode(own)
                }
                _ if several => id.clone(),
                _ => std::mem::take(&mut id),
            };
            let mut transcript = Transcript {
                id,
                biotype: if several { biotype.clone() } else { std::mem::take(&mut biotype) },
                exons: if several { exons.clone() } else { std::mem::take(&mut exons) },
                cds: Vec::new(),
                cds_phase: 0,
                partial_5: facts.partial_5 || at_5,
                partial_3: facts.partial_3 || at_3,
                flags,
                score: None,
            };
            if !group.is_empty() {
                self.add_cds(&mut transcript, &group, &stops, strand, node.number);
            }
            if transcript.exons.is_empty() {
                let mut parts = transcript.cds.clone();
                parts.extend_from_slice(&others);
                if parts.is_empty() {
                    parts.push(Interval::new(node.start, node.end));
                }
                transcript.exons = merged(parts, LARGEST_SLIPPAGE);
            } else {
                let inside = |part: &Interval| lies_in(&transcript.exons, *part);
                if !transcript.cds.iter().all(inside) || (kind != Kind::Coding && !others.iter().all(inside)) {
                    self.built.report.count("CDS or UTR outside the exons, which were extended", || {
                        shown(&self.linked.graph, &transcript.id, node.number)
                    });
                    let mut parts = std::mem::take(&mut transcript.exons);
                    parts.extend_from_slice(&transcript.cds);
                    if kind != Kind::Coding {
                        parts.extend_from_slice(&others);
                    }
                    transcript.exons = merged(parts, LARGEST_SLIPPAGE);
                }
            }
            if transcript.cds.is_empty() && kind == Kind::Coding && transcript.biotype == "protein_coding" {
                self.built.report.count("coding transcript without a CDS", || {
                    shown(&self.linked.graph, &transcript.id, node.number)
                });
            }
            drafts.push(Draft { transcript, rank: facts.rank, strand, of_gene: of_gene || alone });
        }
    }

    fn add_cds(&mut self, transcript: &mut Transcript, group: &[Part], stops: &[Interval], strand: Strand, owner: u32) {
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
            self.built
                .report
                .count("programmed frameshift (slippage)", || shown(&self.linked.graph, &transcript.id, owner));
        }
        if transcript.flags.selenoprotein {
            self.built.report.count("selenoprotein", || shown(&self.linked.graph, &transcript.id, owner));
        }
        if phase.is_none() {
            self.built
                .report
                .count("CDS without a phase, taken as 0", || shown(&self.linked.graph, &transcript.id, owner));
        } else if !transcript.flags.slippage && !phases_agree(group, phase.unwrap_or(0), strand) {
            self.built.report.count("CDS phase that differs from the reading frame", || {
                shown(&self.linked.graph, &transcript.id, owner)
            });
        }
        transcript.cds = cds;
        transcript.cds_phase = phase.unwrap_or(0);
        transcript.partial_5 |= transcript.cds_phase > 0;
    }

    /// The CDS of one transcript, sorted, apart where rows of different ids overlap: these are different proteins. None
    /// where they do not.
    fn alternatives(&self, cds: &[Part]) -> Vec<Vec<Part>> {
        let overlap = |pair: &[Part]| pair[0].end > pair[1].start + LARGEST_SLIPPAGE;
        if self.linked.graph.format == Format::Gff3 && cds.windows(2).any(overlap) {
            let groups = self.by_id(cds.to_vec());
            if groups.len() > 1 && groups.iter().all(|group| !group.windows(2).any(overlap)) {
                return groups;
            }
        }
        Vec::new()
    }

    /// On a circular sequence, parts on both sides of the origin: those after it continue past the length.
    fn wrap(&self, seqid: u32, parts: &mut [Part]) {
        let region = &self.linked.graph.regions[seqid as usize];
        let Some(length) = region.length.or(region.declared.map(|(_, end)| end)) else { return };
        let mut at: Vec<(u64, u64)> = parts.iter().map(|part| (part.start, part.end)).collect();
        at.sort_unstable();
        let touches = at.iter().any(|part| part.0 == 0) && at.iter().any(|part| part.1 == length);
        let gap = at.windows(2).max_by_key(|pair| pair[1].0.saturating_sub(pair[0].1));
        if let Some([_, (after, _)]) = gap.filter(|pair| touches && pair[1].0.saturating_sub(pair[0].1) > length / 4) {
            for part in parts.iter_mut().filter(|part| part.start < *after) {
                part.start += length;
                part.end += length;
            }
        }
    }
}

/// The parts right under a gene.
#[derive(Default)]
struct Direct {
    /// CDS that belong to transcripts of the gene.
    given: FxHashMap<u32, Vec<Part>>,
    /// CDS that are transcripts of their own.
    proteins: Vec<Vec<Part>>,
    rest: Vec<Part>,
}

struct Raw<'a, 'n> {
    id: String,
    node: &'n Node<'a>,
    facts: Facts<'a>,
    named: Option<(String, Kind)>,
    /// A CDS without parent or gene.
    alone: bool,
    /// The parts stand right under the gene.
    of_gene: bool,
}

/// What a report calls a transcript: one that a gene stands for has no id until the gene is whole.
fn shown(graph: &Graph<'_>, id: &str, owner: u32) -> String {
    if id.is_empty() && owner != NONE { graph.name(owner) } else { id.to_owned() }
}

/// Sorted, with intervals as one that overlap or leave a gap of at most `gap` bases.
fn merged(mut intervals: Vec<Interval>, gap: u64) -> Vec<Interval> {
    intervals.sort_unstable();
    intervals.dedup_by(|next, last| {
        let joins = next.start <= last.end + gap;
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
    intervals
}

/// Sorted, with touching intervals as one; overlaps (slippage) stay, repetitions go.
fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    intervals.dedup();
    intervals.dedup_by(|next, last| {
        let joins = next.start == last.end;
        if joins {
            last.end = next.end;
        }
        joins
    });
    intervals
}

/// Whether an interval lies in one of sorted, disjoint ones.
fn lies_in(sorted: &[Interval], part: Interval) -> bool {
    let after = sorted.partition_point(|interval| interval.start <= part.start);
    after > 0 && sorted[after - 1].contains(part)
}

/// The parts of a CDS, sorted, and the phase of the first in transcript direction.
fn chain(group: &[Part], strand: Strand) -> (Vec<Interval>, Option<u8>) {
    let cds = joined(group.iter().map(|part| Interval::new(part.start, part.end)).collect());
    let first = match strand {
        Strand::Reverse => group.iter().max_by_key(|part| (part.end, part.start)),
        _ => group.iter().min_by_key(|part| (part.start, part.end)),
    };
    (cds, first.and_then(|part| part.phase()))
}

/// Whether the phases of all rows are those that the first one's leads to. Rows without a phase agree with any. The rows are
/// sorted.
fn phases_agree(group: &[Part], phase: u8, strand: Strand) -> bool {
    let mut expected = u64::from(phase);
    let mut agrees = |part: &Part| {
        let agreed = part.phase().is_none_or(|phase| u64::from(phase) == expected);
        let length = part.end - part.start;
        expected = (3 - (length + 3 - expected) % 3) % 3;
        agreed
    };
    match strand {
        Strand::Reverse => group.iter().rev().all(&mut agrees),
        _ => group.iter().all(&mut agrees),
    }
}
