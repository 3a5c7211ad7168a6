//! What the bases around a genome's starts look like.
//!
//! A true start has, with some probability, one of the genome's motifs at one of a few distances upstream: the place
//! where the ribosome binds (Shine-Dalgarno), or the promoter of a transcript without a leader. Elsewhere each position of
//! the window has its own composition. Start codons that are none have another composition. All of it is learned by
//! expectation maximisation from the posteriors of the starts of confident genes.

/// Bases of the window before the start codon, and from its first base on.
pub const BEFORE: usize = 40;
pub const AFTER: usize = 12;
const WINDOW: usize = BEFORE + AFTER;

/// Bases of a motif.
const MOTIF: usize = 6;
/// Bases between a motif and the start codon, from and to: ribosome binding sites, and boxes of promoters.
const SPACERS: [(usize, usize); 2] = [(3, 14), (15, 32)];
const ROUNDS: usize = 25;
/// Imagined observations of each position, and of each place of a motif.
const PSEUDO: f64 = 4.0;

/// By base A C G T.
type Column = [f64; 4];
/// Base codes, 4 for anything unknown.
pub type Window = [u8; WINDOW];

/// A start codon of a confident gene's reading frame, and the probability that the gene begins there.
pub struct Example {
    pub window: Window,
    pub probability: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Motif {
    /// Log probabilities.
    columns: [Column; MOTIF],
    /// Log of the share of starts that have the motif so many bases, and the smallest spacer, before them.
    places: Vec<f64>,
    smallest: usize,
}

impl Motif {
    /// First position of the motif in the window, by place.
    fn position(&self, place: usize) -> usize {
        BEFORE - self.smallest - place - MOTIF
    }

    fn consensus(&self) -> String {
        self.columns.iter().map(|column| b"ACGT"[best(column)] as char).collect()
    }
}

/// Log odds of a start codon's surroundings: true start against any other start codon of a gene's reading frame.
#[derive(Debug, Clone, PartialEq)]
pub struct StartModel {
    /// Log probabilities of bases around true starts, where no motif lies, and around other start codons.
    own: [Column; WINDOW],
    other: [Column; WINDOW],
    motifs: Vec<Motif>,
    /// Log of the share of starts without a motif.
    none: f64,
}

/// A motif as it is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct MotifSummary {
    pub consensus: String,
    /// Share of the starts that have it.
    pub share: f64,
    /// Most frequent number of bases between motif and start codon.
    pub spacer: usize,
}

fn best(values: &[f64]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}

/// The window around the codon at `at`; on a circular sequence it wraps around.
pub fn window(oriented: &[u8], at: usize, circular: bool) -> Window {
    let length = oriented.len() as i64;
    std::array::from_fn(|i| {
        let place = at as i64 + i as i64 - BEFORE as i64;
        match (circular, (0..length).contains(&place)) {
            (_, true) => oriented[place as usize],
            (true, false) => oriented[place.rem_euclid(length) as usize],
            (false, false) => 4,
        }
    })
}

/// Log probabilities from counts, with imagined observations spread as `prior` says.
fn logs(counts: &Column, prior: &Column) -> Column {
    let total: f64 = counts.iter().sum::<f64>() + PSEUDO;
    std::array::from_fn(|b| ((counts[b] + PSEUDO * prior[b]) / total).ln())
}

impl StartModel {
    pub fn learn(examples: &[Example]) -> StartModel {
        let composition = composition(examples);
        let mut own = [[0.0; 4]; WINDOW];
        let mut other = [[0.0; 4]; WINDOW];
        for example in examples {
            for (i, &base) in example.window.iter().enumerate() {
                if base < 4 {
                    own[i][base as usize] += example.probability;
                    other[i][base as usize] += 1.0 - example.probability;
                }
            }
        }
        let other = other.map(|counts| logs(&counts, &composition));
        let mut model =
            StartModel { own: own.map(|counts| logs(&counts, &composition)), other, motifs: Vec::new(), none: 0.0 };
        model.motifs = SPACERS.iter().map(|&spacers| model.first_motif(examples, spacers)).collect();
        model.none = 0.5f64.ln();
        for _ in 0..ROUNDS {
            model = model.improved(examples, &composition);
        }
        model
    }

    /// A motif to begin with: the hexamer that is found most beyond what the positions' compositions make likely.
    fn first_motif(&self, examples: &[Example], (smallest, largest): (usize, usize)) -> Motif {
        const WORDS: usize = 1 << (2 * MOTIF);
        let (from, to) = (BEFORE - largest - MOTIF, BEFORE - smallest - MOTIF);
        let mut found = vec![0.0; WORDS];
        let mut total = 0.0;
        for example in examples.iter().filter(|example| example.probability > 0.01) {
            total += example.probability;
            for at in from..=to {
                let word = &example.window[at..at + MOTIF];
                if word.iter().all(|&base| base < 4) {
                    found[word.iter().fold(0, |index, &base| index << 2 | usize::from(base))] += example.probability;
                }
            }
        }
        let bases = |word: usize| (0..MOTIF).map(move |i| word >> (2 * (MOTIF - 1 - i)) & 3);
        let gain = |word: usize| {
            let expected: f64 = (from..=to)
                .map(|at| bases(word).enumerate().map(|(i, base)| self.own[at + i][base]).sum::<f64>().exp())
                .sum::<f64>()
                * total;
            found[word] * ((found[word] + 1.0) / (expected + 1.0)).ln()
        };
        let word = (0..WORDS).max_by(|&a, &b| gain(a).total_cmp(&gain(b))).expect("there are words");
        let mut columns = [[0.1f64.ln(); 4]; MOTIF];
        for (column, base) in columns.iter_mut().zip(bases(word)) {
            column[base] = 0.7f64.ln();
        }
        let places = largest - smallest + 1;
        let share = 0.5 / SPACERS.len() as f64 / places as f64;
        Motif { columns, places: vec![share.ln(); places], smallest }
    }

    /// What each place of each motif, in order, adds to the log probability of the window without a motif.
    fn places<'a>(&'a self, window: &'a Window) -> impl Iterator<Item = f64> + 'a {
        self.motifs.iter().flat_map(move |motif| {
            motif.places.iter().enumerate().map(move |(place, share)| {
                let from = motif.position(place);
                let mut sum = *share;
                for (i, column) in motif.columns.iter().enumerate() {
                    let base = usize::from(window[from + i]);
                    if base < 4 {
                        sum += column[base] - self.own[from + i][base];
                    }
                }
                sum
            })
        })
    }

    /// One round of expectation maximisation.
    fn improved(&self, examples: &[Example], composition: &Column) -> StartModel {
        let mut own = [[0.0; 4]; WINDOW];
        let mut motifs: Vec<([Column; MOTIF], Vec<f64>)> =
            self.motifs.iter().map(|motif| ([[0.0; 4]; MOTIF], vec![0.0; motif.places.len()])).collect();
        let (mut none, mut total) = (0.0, 0.0);
        let mut shares: Vec<f64> = Vec::new();
        for example in examples.iter().filter(|example| example.probability > 0.01) {
            shares.clear();
            shares.extend(self.places(&example.window));
            let top = shares.iter().copied().fold(self.none, f64::max);
            let sum = shares.iter().map(|share| (share - top).exp()).sum::<f64>() + (self.none - top).exp();
            let part = |log: f64| example.probability * (log - top).exp() / sum;
            total += example.probability;
            none += part(self.none);
            let mut free = [example.probability; WINDOW];
            let mut values = shares.iter();
            for (motif, (columns, places)) in self.motifs.iter().zip(&mut motifs) {
                for (place, count) in places.iter_mut().enumerate() {
                    let weight = part(*values.next().expect("one value a place"));
                    if weight < 1e-4 {
                        continue;
                    }
                    *count += weight;
                    for (i, column) in columns.iter_mut().enumerate() {
                        let at = motif.position(place) + i;
                        free[at] -= weight;
                        if example.window[at] < 4 {
                            column[example.window[at] as usize] += weight;
                        }
                    }
                }
            }
            for (i, &base) in example.window.iter().enumerate() {
                if base < 4 {
                    own[i][base as usize] += free[i].max(0.0);
                }
            }
        }
        let all: f64 = total + PSEUDO * (1.0 + SPACERS.len() as f64);
        let motifs = self
            .motifs
            .iter()
            .zip(motifs)
            .map(|(motif, (columns, places))| {
                let imagined = PSEUDO / places.len() as f64;
                Motif {
                    columns: columns.map(|counts| logs(&counts, composition)),
                    places: places.iter().map(|count| ((count + imagined) / all).ln()).collect(),
                    smallest: motif.smallest,
                }
            })
            .collect();
        StartModel {
            own: own.map(|counts| logs(&counts, composition)),
            other: self.other,
            motifs,
            none: ((none + PSEUDO) / all).ln(),
        }
    }

    /// Nats.
    pub fn log_odds(&self, window: &Window) -> f64 {
        let mut columns = 0.0;
        for (i, &base) in window.iter().enumerate() {
            if base < 4 {
                columns += self.own[i][base as usize] - self.other[i][base as usize];
            }
        }
        let shares: Vec<f64> = self.places(window).collect();
        let top = shares.iter().copied().fold(self.none, f64::max);
        let sum = shares.iter().map(|share| (share - top).exp()).sum::<f64>() + (self.none - top).exp();
        columns + top + sum.ln()
    }

    pub fn motifs(&self) -> Vec<MotifSummary> {
        self.motifs
            .iter()
            .map(|motif| MotifSummary {
                consensus: motif.consensus(),
                share: motif.places.iter().map(|share| share.exp()).sum(),
                spacer: motif.smallest + best(&motif.places),
            })
            .collect()
    }
}

/// Composition of all windows.
fn composition(examples: &[Example]) -> Column {
    let mut counts = [1.0; 4];
    for &base in examples.iter().flat_map(|example| &example.window) {
        if base < 4 {
            counts[base as usize] += 1.0;
        }
    }
    let total: f64 = counts.iter().sum();
    counts.map(|count| count / total)
}
