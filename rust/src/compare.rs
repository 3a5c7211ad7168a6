//! Compares predicted with reference gene models: sensitivity, precision and F1 at every level.
//!
//! `base` to `locus` follow the definitions of gffcompare 0.12 (exons of all transcripts, by strand): the ends of
//! terminal exons may differ by 100 bp at exon level, a transcript matches by its intron chain, or, with one exon, by an
//! overlap of 80% of the longer one, and a reference transcript that repeats another one's structure within its bounds is
//! left out. `cds_base` to `gene` look at coding sequences alone, and everything there is exact.

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::annotation::Annotation;
use crate::gene::{Gene, Interval, Strand, Transcript};

/// Counts of one level: items of the reference and of the prediction, and how many of each the other has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    pub reference: u64,
    pub predicted: u64,
    pub reference_found: u64,
    pub predicted_right: u64,
}

impl Level {
    /// Percent of the reference that was found; 0 where there is none.
    pub fn sensitivity(self) -> f64 {
        percent(self.reference_found, self.reference)
    }

    /// Percent of the prediction that is right.
    pub fn precision(self) -> f64 {
        percent(self.predicted_right, self.predicted)
    }

    pub fn f1(self) -> f64 {
        let (sn, pr) = (self.sensitivity(), self.precision());
        if sn + pr == 0.0 { 0.0 } else { 2.0 * sn * pr / (sn + pr) }
    }

    fn of_sets<T: Hash + Eq>(reference: &FxHashSet<T>, predicted: &FxHashSet<T>) -> Level {
        let shared = reference.intersection(predicted).count() as u64;
        Level {
            reference: reference.len() as u64,
            predicted: predicted.len() as u64,
            reference_found: shared,
            predicted_right: shared,
        }
    }

    fn add(&mut self, other: Level) {
        self.reference += other.reference;
        self.predicted += other.predicted;
        self.reference_found += other.reference_found;
        self.predicted_right += other.predicted_right;
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// The levels, in the order of the table.
pub const LEVELS: [&str; 13] = [
    "base",
    "exon",
    "intron",
    "intron_chain",
    "transcript",
    "locus",
    "cds_base",
    "cds_exon",
    "start",
    "stop",
    "donor",
    "acceptor",
    "gene",
];

#[derive(Debug, Clone)]
pub struct Options {
    /// Largest difference of the free ends of terminal exons that match, bp (gffcompare's `-e`).
    pub end_range: u64,
    /// Transcripts match when all exon bounds do, within `end_range` at the free ends (gffcompare's `--strict-match`).
    pub strict: bool,
    /// Compare on these sequences only.
    pub seqids: Option<Vec<String>>,
    /// Leave non-coding transcripts out.
    pub coding_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { end_range: 100, strict: false, seqids: None, coding_only: false }
    }
}

/// The result, one level for each of [`LEVELS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub levels: [Level; LEVELS.len()],
}

impl Comparison {
    /// Adds the counts of other sequences.
    pub fn merge(&mut self, other: &Comparison) {
        for (mine, theirs) in self.levels.iter_mut().zip(other.levels) {
            mine.add(theirs);
        }
    }

    pub fn level(&self, name: &str) -> Option<Level> {
        LEVELS.iter().position(|&level| level == name).map(|i| self.levels[i])
    }
}

/// Compares two annotations; sequences belong together by their ids.
pub fn compare(predicted: &Annotation, reference: &Annotation, options: &Options) -> Comparison {
    let mut numbers: FxHashMap<&str, usize> = FxHashMap::default();
    for seqid in reference.seqids.iter().chain(&predicted.seqids) {
        let next = numbers.len();
        numbers.entry(seqid).or_insert(next);
    }
    let kept: Option<FxHashSet<&str>> =
        options.seqids.as_ref().map(|seqids| seqids.iter().map(String::as_str).collect());
    let mut by_sequence: Vec<[Vec<&Gene>; 2]> = vec![[Vec::new(), Vec::new()]; numbers.len()];
    for (side, annotation) in [reference, predicted].into_iter().enumerate() {
        for gene in &annotation.genes {
            let seqid = annotation.seqids[gene.seqid as usize].as_str();
            if kept.as_ref().is_none_or(|kept| kept.contains(seqid)) {
                by_sequence[numbers[seqid]][side].push(gene);
            }
        }
    }
    let mut result = Comparison::default();
    for [reference, predicted] in &by_sequence {
        compare_sequence(reference, predicted, options, &mut result);
    }
    result
}

fn compare_sequence(reference: &[&Gene], predicted: &[&Gene], options: &Options, result: &mut Comparison) {
    let mut add = |name: &str, level: Level| {
        let at = LEVELS.iter().position(|&other| other == name).expect("a name of the table");
        result.levels[at].add(level);
    };
    for strand in [Strand::Forward, Strand::Reverse] {
        let r = without_repeats(models(reference, strand, options.coding_only));
        let q = in_order(models(predicted, strand, options.coding_only));
        add("base", base_level(&exons_of(&r), &exons_of(&q)));
        add("exon", exon_level(&r, &q, options.end_range));
        add("intron", Level::of_sets(&introns_of(&r), &introns_of(&q)));
        let (chain, transcript, locus) = transcript_levels(&r, &q, options);
        add("intron_chain", chain);
        add("transcript", transcript);
        add("locus", locus);

        let (r, q) = (coding(reference, strand), coding(predicted, strand));
        let parts = |genes: &[Coding]| -> Vec<Interval> {
            genes.iter().flat_map(|gene| gene.iter().flat_map(|t| t.cds.iter().copied())).collect()
        };
        add("cds_base", base_level(&parts(&r), &parts(&q)));
        let set = |parts: Vec<Interval>| -> FxHashSet<Interval> { parts.into_iter().collect() };
        add("cds_exon", Level::of_sets(&set(parts(&r)), &set(parts(&q))));
        for (name, site) in [
            ("start", start as fn(&Transcript, bool, &mut FxHashSet<u64>)),
            ("stop", stop),
            ("donor", donors),
            ("acceptor", acceptors),
        ] {
            let collect = |genes: &[Coding]| {
                let mut sites = FxHashSet::default();
                genes.iter().flatten().for_each(|t| site(t, strand == Strand::Forward, &mut sites));
                sites
            };
            add(name, Level::of_sets(&collect(&r), &collect(&q)));
        }
        add("gene", gene_level(&r, &q));
    }
    // Without a strand a prediction cannot be right.
    let lost = in_order(models(predicted, Strand::Unknown, options.coding_only));
    let wrong = |n: usize| Level { predicted: n as u64, ..Level::default() };
    add("base", base_level(&[], &exons_of(&lost)));
    add("exon", wrong(exons_of(&lost).into_iter().collect::<FxHashSet<_>>().len()));
    add("intron", wrong(introns_of(&lost).len()));
    add("intron_chain", wrong(lost.iter().filter(|t| t.exons.len() > 1).count()));
    add("transcript", wrong(lost.len()));
    add("locus", wrong(loci(&lost).1));
}

/// A transcript as the exon levels see it.
struct Model<'a> {
    exons: &'a [Interval],
    coding: bool,
    id: &'a str,
    /// Sum of the exons' lengths.
    covered: u64,
}

impl Model<'_> {
    fn start(&self) -> u64 {
        self.exons[0].start
    }

    fn end(&self) -> u64 {
        self.exons[self.exons.len() - 1].end
    }

    fn introns(&self) -> impl Iterator<Item = Interval> + '_ {
        self.exons.windows(2).map(|pair| Interval { start: pair[0].end, end: pair[1].start })
    }

    /// Larger is better: what stays of two that repeat each other.
    fn quality(&self) -> (usize, bool, u64) {
        (self.exons.len(), self.coding, self.covered)
    }
}

fn models<'a>(genes: &[&'a Gene], strand: Strand, coding_only: bool) -> Vec<Model<'a>> {
    genes
        .iter()
        .filter(|gene| gene.strand == strand)
        .flat_map(|gene| &gene.transcripts)
        .filter(|t| !(t.exons.is_empty() || coding_only && t.cds.is_empty()))
        .map(|t| Model {
            exons: &t.exons,
            coding: !t.cds.is_empty(),
            id: &t.id,
            covered: t.exons.iter().map(|exon| exon.len()).sum(),
        })
        .collect()
}

/// By start, end and id.
fn in_order(mut models: Vec<Model>) -> Vec<Model> {
    models.sort_by_key(|m| (m.start(), m.end(), m.id));
    models
}

/// Whether two transcripts match: `Some(true)` with all bounds equal within `range` at the free ends, `Some(false)` with
/// the same introns, or, where both have one exon, with an overlap that is large for both.
fn matches(q: &Model, r: &Model, range: u64) -> Option<bool> {
    if q.exons.len() != r.exons.len() {
        return None;
    }
    let exact = q.start().abs_diff(r.start()) <= range && q.end().abs_diff(r.end()) <= range;
    if q.exons.len() > 1 {
        return q.introns().eq(r.introns()).then_some(exact);
    }
    let overlap = q.end().min(r.end()).saturating_sub(q.start().max(r.start())) as f64;
    if overlap == 0.0 {
        return None;
    }
    if exact {
        return Some(true);
    }
    let (query, reference) = (q.covered as f64, r.covered as f64);
    let enough = if query > reference {
        overlap >= 0.8 * query || (overlap >= 0.8 * reference && overlap >= 0.7 * query)
    } else {
        overlap >= 0.8 * reference
    };
    enough.then_some(false)
}

/// Leaves out reference transcripts that repeat, within its bounds or exactly, the structure of one that came before in
/// the annotation's order; the rest by start, end and id.
fn without_repeats(models: Vec<Model>) -> Vec<Model> {
    let mut kept: Vec<Model> = Vec::with_capacity(models.len());
    // The longest transcript bounds how far back an overlap can begin.
    let longest = models.iter().map(|m| m.end() - m.start()).max().unwrap_or(0);
    for model in models {
        let after = kept.partition_point(|other| other.start() < model.end());
        let repeated = (0..after)
            .rev()
            .take_while(|&i| model.start() <= kept[i].start() + longest)
            .filter(|&i| kept[i].end() > model.start())
            .find(|&i| match matches(&model, &kept[i], 0) {
                Some(exact) => exact || (kept[i].start() <= model.start() && model.end() <= kept[i].end()),
                None => false,
            });
        match repeated {
            Some(i) if kept[i].quality() >= model.quality() => continue,
            Some(i) => drop(kept.remove(i)),
            None => {}
        }
        let key = (model.start(), model.end(), model.id);
        let at = kept.partition_point(|other| (other.start(), other.end(), other.id) < key);
        kept.insert(at, model);
    }
    kept
}

fn exons_of(models: &[Model]) -> Vec<Interval> {
    models.iter().flat_map(|m| m.exons.iter().copied()).collect()
}

fn introns_of(models: &[Model]) -> FxHashSet<Interval> {
    models.iter().flat_map(Model::introns).collect()
}

/// Sorted disjoint intervals that cover the same bases.
fn union(mut parts: Vec<Interval>) -> Vec<Interval> {
    parts.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(parts.len());
    for part in parts {
        match merged.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => merged.push(part),
        }
    }
    merged
}

fn base_level(reference: &[Interval], predicted: &[Interval]) -> Level {
    let (r, q) = (union(reference.to_vec()), union(predicted.to_vec()));
    let size = |parts: &[Interval]| parts.iter().map(|part| part.len()).sum::<u64>();
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < r.len() && j < q.len() {
        shared += r[i].end.min(q[j].end).saturating_sub(r[i].start.max(q[j].start));
        if r[i].end < q[j].end { i += 1 } else { j += 1 }
    }
    Level { reference: size(&r), predicted: size(&q), reference_found: shared, predicted_right: shared }
}

/// A distinct exon, and whether the first transcript that has it begins or ends there.
#[derive(Clone, Copy)]
struct Exon {
    part: Interval,
    left_end: bool,
    right_end: bool,
}

fn distinct_exons(models: &[Model]) -> Vec<Exon> {
    let mut seen: FxHashSet<Interval> = FxHashSet::default();
    let mut exons = Vec::new();
    for model in models {
        let last = model.exons.len() - 1;
        for (i, &part) in model.exons.iter().enumerate() {
            if seen.insert(part) {
                exons.push(Exon { part, left_end: i == 0, right_end: i == last });
            }
        }
    }
    exons.sort_by_key(|exon| exon.part);
    exons
}

fn exon_level(reference: &[Model], predicted: &[Model], range: u64) -> Level {
    let (r, q) = (distinct_exons(reference), distinct_exons(predicted));
    let longest = r.iter().map(|exon| exon.part.len()).max().unwrap_or(0);
    let (mut found, mut right) = (vec![false; r.len()], 0);
    for exon in &q {
        let from = r.partition_point(|other| other.part.start + longest <= exon.part.start);
        let mut matched = false;
        for (i, other) in r.iter().enumerate().skip(from) {
            if other.part.start >= exon.part.end {
                break;
            }
            let within = |a: u64, b: u64, free: bool| a.abs_diff(b) <= if free { range } else { 0 };
            if exon.part.overlaps(other.part)
                && within(exon.part.start, other.part.start, exon.left_end && other.left_end)
                && within(exon.part.end, other.part.end, exon.right_end && other.right_end)
            {
                found[i] = true;
                matched = true;
            }
        }
        right += u64::from(matched);
    }
    Level {
        reference: r.len() as u64,
        predicted: q.len() as u64,
        reference_found: found.iter().filter(|&&found| found).count() as u64,
        predicted_right: right,
    }
}

/// The locus of each transcript (transcripts whose exons overlap share one), and the number of loci.
fn loci(models: &[Model]) -> (Vec<usize>, usize) {
    let mut parent: Vec<usize> = (0..models.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut exons: Vec<(Interval, usize)> =
        models.iter().enumerate().flat_map(|(i, m)| m.exons.iter().map(move |&exon| (exon, i))).collect();
    exons.sort_unstable();
    let mut open: Option<(u64, usize)> = None;
    for (exon, i) in exons {
        match &mut open {
            Some((end, owner)) if exon.start < *end => {
                let (a, b) = (root(&mut parent, *owner), root(&mut parent, i));
                parent[a.max(b)] = a.min(b);
                *end = exon.end.max(*end);
            }
            _ => open = Some((exon.end, i)),
        }
    }
    let mut numbers: FxHashMap<usize, usize> = FxHashMap::default();
    let locus = (0..models.len())
        .map(|i| {
            let root = root(&mut parent, i);
            let next = numbers.len();
            *numbers.entry(root).or_insert(next)
        })
        .collect();
    (locus, numbers.len())
}

/// Intron chains, transcripts and loci. Transcripts are paired one to one, in order of position.
fn transcript_levels(r: &[Model], q: &[Model], options: &Options) -> (Level, Level, Level) {
    let range = if options.strict { options.end_range } else { 0 };
    let longest = r.iter().map(|m| m.end() - m.start()).max().unwrap_or(0);
    let (r_loci, q_loci) = (loci(r), loci(q));
    let (mut r_right, mut q_right) = (vec![false; r_loci.1], vec![false; q_loci.1]);
    let mut paired = vec![false; r.len()];
    let (mut chains, mut transcripts) = (0, 0);
    for (i, query) in q.iter().enumerate() {
        let from = r.partition_point(|other| other.start() + longest <= query.start());
        for (j, other) in r.iter().enumerate().skip(from) {
            if other.start() >= query.end() {
                break;
            }
            if paired[j] || other.end() <= query.start() {
                continue;
            }
            let Some(exact) = matches(query, other, range) else { continue };
            // A chain that matches with other ends counts with each of its transcripts, as in gffcompare.
            chains += u64::from(query.exons.len() > 1);
            if exact || !options.strict {
                transcripts += 1;
                paired[j] = true;
                r_right[r_loci.0[j]] = true;
                q_right[q_loci.0[i]] = true;
                break;
            }
        }
    }
    let multi = |models: &[Model]| models.iter().filter(|m| m.exons.len() > 1).count() as u64;
    let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count() as u64;
    let chain = Level { reference: multi(r), predicted: multi(q), reference_found: chains, predicted_right: chains };
    let transcript = Level {
        reference: r.len() as u64,
        predicted: q.len() as u64,
        reference_found: transcripts,
        predicted_right: transcripts,
    };
    let locus = Level {
        reference: r_loci.1 as u64,
        predicted: q_loci.1 as u64,
        reference_found: count(&r_right),
        predicted_right: count(&q_right),
    };
    (chain, transcript, locus)
}

/// A gene's coding transcripts.
type Coding<'a> = Vec<&'a Transcript>;

fn coding<'a>(genes: &[&'a Gene], strand: Strand) -> Vec<Coding<'a>> {
    genes
        .iter()
        .filter(|gene| gene.strand == strand && !gene.flags.pseudogene)
        .map(|gene| gene.transcripts.iter().filter(|t| !t.cds.is_empty() && !t.flags.pseudogene).collect())
        .filter(|transcripts: &Coding| !transcripts.is_empty())
        .collect()
}

fn start(t: &Transcript, forward: bool, sites: &mut FxHashSet<u64>) {
    if !t.partial_5 {
        sites.insert(if forward { t.cds[0].start } else { t.cds[t.cds.len() - 1].end });
    }
}

fn stop(t: &Transcript, forward: bool, sites: &mut FxHashSet<u64>) {
    if !t.partial_3 {
        sites.insert(if forward { t.cds[t.cds.len() - 1].end } else { t.cds[0].start });
    }
}

/// Introns between coding parts.
fn donors(t: &Transcript, forward: bool, sites: &mut FxHashSet<u64>) {
    sites.extend(t.cds.windows(2).map(|pair| if forward { pair[0].end } else { pair[1].start }));
}

fn acceptors(t: &Transcript, forward: bool, sites: &mut FxHashSet<u64>) {
    sites.extend(t.cds.windows(2).map(|pair| if forward { pair[1].start } else { pair[0].end }));
}

/// A gene is right when the coding sequence of one of its transcripts is, part by part, that of one of the other's.
fn gene_level(reference: &[Coding], predicted: &[Coding]) -> Level {
    fn chains<'a>(genes: &'a [Coding<'a>]) -> FxHashSet<&'a [Interval]> {
        genes.iter().flatten().map(|t| t.cds.as_slice()).collect()
    }
    let found = |genes: &[Coding], others: &FxHashSet<&[Interval]>| {
        genes.iter().filter(|gene| gene.iter().any(|t| others.contains(t.cds.as_slice()))).count() as u64
    };
    Level {
        reference: reference.len() as u64,
        predicted: predicted.len() as u64,
        reference_found: found(reference, &chains(predicted)),
        predicted_right: found(predicted, &chains(reference)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::gene::Flags;
    use crate::input;

    /// Genes of a file in its order, a gene's transcripts on each strand as a gene: as gffcompare takes them, which
    /// knows no genes. Exons that nearly touch are one, as there.
    fn read(path: &Path) -> Annotation {
        let text = String::from_utf8(input::text(path).unwrap().to_vec()).unwrap();
        let mut annotation = Annotation::default();
        let mut seqids: FxHashMap<String, u32> = FxHashMap::default();
        let mut at: FxHashMap<String, usize> = FxHashMap::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let attribute = |name: &str| {
                columns[8]
                    .split(';')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                    .unwrap_or("")
                    .to_owned()
            };
            let part = Interval::new(columns[3].parse::<u64>().unwrap() - 1, columns[4].parse().unwrap());
            let strand = match columns[6] {
                "+" => Strand::Forward,
                "-" => Strand::Reverse,
                _ => Strand::Unknown,
            };
            if columns[2] == "mRNA" {
                let seqid = *seqids.entry(columns[0].to_owned()).or_insert_with(|| {
                    annotation.seqids.push(columns[0].to_owned());
                    annotation.seqids.len() as u32 - 1
                });
                let id = attribute("ID");
                at.insert(id.clone(), annotation.genes.len());
                annotation.genes.push(Gene {
                    id: id.clone(),
                    name: None,
                    seqid,
                    span: part,
                    strand,
                    biotype: String::new(),
                    flags: Flags::default(),
                    score: None,
                    transcripts: vec![Transcript {
                        id,
                        biotype: String::new(),
                        exons: Vec::new(),
                        cds: Vec::new(),
                        cds_phase: 0,
                        partial_5: false,
                        partial_3: false,
                        flags: Flags::default(),
                        score: None,
                    }],
                });
            }
            let Some(&i) = at.get(&attribute("Parent")) else { continue };
            let transcript = &mut annotation.genes[i].transcripts[0];
            match columns[2] {
                "exon" => transcript.exons.push(part),
                "CDS" => transcript.cds.push(part),
                _ => {}
            }
        }
        for gene in &mut annotation.genes {
            let exons = &mut gene.transcripts[0].exons;
            exons.sort();
            let mut merged: Vec<Interval> = Vec::new();
            for exon in exons.drain(..) {
                match merged.last_mut() {
                    Some(last) if exon.start < last.end + 5 => last.end = exon.end.max(last.end),
                    _ => merged.push(exon),
                }
            }
            *exons = merged;
        }
        annotation
    }

    fn data() -> Option<PathBuf> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let path = std::env::var_os("GENET5_DATA").map_or(default, PathBuf::from);
        path.is_dir().then_some(path)
    }

    /// (sensitivity, precision) of the six levels, as printed.
    fn stated(path: &Path) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().filter_map(|line| line.trim().split_once(" level:")).map(|(_, figures)| {
            let figures: Vec<&str> = figures.split('|').map(str::trim).collect();
            (figures[0].to_owned(), figures[1].to_owned())
        });
        rows.collect()
    }

    #[test]
    fn figures_of_gffcompare() {
        let Some(data) = data() else {
            eprintln!("GENET5_DATA is absent: not compared with gffcompare");
            return;
        };
        let mut pairs = 0;
        for entry in std::fs::read_dir(data.join("gffcompare")).unwrap() {
            let folder = entry.unwrap().path();
            let reference = read(&folder.join("reference.gff3.gz"));
            let predicted = read(&folder.join("prediction.gff3.gz"));
            pairs += 1;
            for (kind, query, strict) in
                [("default", &predicted, false), ("strict", &predicted, true), ("self", &reference, false)]
            {
                let end_range = if strict { 0 } else { 100 };
                let found = compare(query, &reference, &Options { end_range, strict, ..Options::default() });
                let printed: Vec<(String, String)> = found.levels[..6]
                    .iter()
                    .map(|level| (format!("{:.1}", level.sensitivity()), format!("{:.1}", level.precision())))
                    .collect();
                assert_eq!(printed, stated(&folder.join(format!("{kind}.stats"))), "{} {kind}", folder.display());
            }
        }
        assert_eq!(pairs, 7);
    }
}
