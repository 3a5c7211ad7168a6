//! Sentences: genes of a window to token ids and back, and what is wrong with a sentence.

use std::cmp::Ordering;
use std::fmt;

use super::model::{Kind, Policy, Signal, State, WindowGene, WindowGenes, WindowTranscript};
use super::tokens::{MAX_COORDINATE, RADIX, Role, Vocabulary};
use crate::error::{Error, Result};
use crate::gene::Strand;

/// The first thing that is wrong with a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceFault {
    /// Index of the token; the sentence's length where it ends too early.
    pub token: usize,
    pub message: String,
}

impl fmt::Display for SentenceFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "token {}: {}", self.token, self.message)
    }
}

impl From<SentenceFault> for Error {
    fn from(fault: SentenceFault) -> Self {
        Error::input(format!("not a sentence of the annotation language: {fault}"))
    }
}

fn fault<T>(token: usize, message: impl Into<String>) -> std::result::Result<T, SentenceFault> {
    Err(SentenceFault { token, message: message.into() })
}

/// Writes the sentence of a window.
///
/// # Errors
/// A biotype without a token, or a window longer than coordinates can say.
pub fn encode(genes: &WindowGenes, vocabulary: &Vocabulary) -> Result<Vec<u32>> {
    if genes.length > MAX_COORDINATE {
        let length = genes.length;
        return Err(Error::input(format!(
            "a window of {length} bp: coordinates of the annotation language end at {MAX_COORDINATE}"
        )));
    }
    let mut tokens = Vec::with_capacity(genes.token_count());
    tokens.push(vocabulary.begin);
    tokens.push(vocabulary.utr[usize::from(genes.policy.utr)]);
    tokens.push(vocabulary.noncoding[usize::from(genes.policy.noncoding)]);
    for gene in &genes.genes {
        for (index, transcript) in gene.transcripts.iter().enumerate() {
            if index > 0 {
                tokens.push(vocabulary.isoform);
            }
            tokens.push(vocabulary.strands[usize::from(gene.strand == Strand::Reverse)]);
            tokens.push(vocabulary.biotype_id(&transcript.biotype).ok_or_else(|| {
                let biotype = &transcript.biotype;
                Error::input(format!("no token for the biotype {biotype:?}: append it with `genet5 tokens append`"))
            })?);
            tokens.extend(transcript.left.map(|state| vocabulary.cuts[state.index()]));
            for signal in &transcript.signals {
                tokens.push(vocabulary.kinds[signal.kind as usize]);
                tokens.push(vocabulary.number_id(signal.position / RADIX));
                tokens.push(vocabulary.number_id(signal.position % RADIX));
            }
            tokens.extend(transcript.right.map(|state| vocabulary.cuts[state.index()]));
        }
    }
    tokens.push(vocabulary.end);
    Ok(tokens)
}

/// Reads the sentence of a window of `length` bases. What it accepts, [`encode`] writes in the same way again.
pub fn decode(tokens: &[u32], length: u32, vocabulary: &Vocabulary) -> std::result::Result<WindowGenes, SentenceFault> {
    Parser { tokens, at: 0, length, vocabulary, policy: Policy { utr: false, noncoding: false } }.window()
}

/// What is wrong with a sentence, if anything.
pub fn validate(tokens: &[u32], length: u32, vocabulary: &Vocabulary) -> std::result::Result<(), SentenceFault> {
    decode(tokens, length, vocabulary).map(drop)
}

struct Parser<'a> {
    tokens: &'a [u32],
    at: usize,
    length: u32,
    vocabulary: &'a Vocabulary,
    policy: Policy,
}

type Parsed<T> = std::result::Result<T, SentenceFault>;

impl Parser<'_> {
    /// The role of the token at hand; `None` at the end.
    fn peek(&self) -> Parsed<Option<Role>> {
        let Some(&id) = self.tokens.get(self.at) else { return Ok(None) };
        match self.vocabulary.role(id) {
            Some(role) => Ok(Some(role)),
            None => fault(self.at, format!("id {id} is not in the vocabulary of {} tokens", self.vocabulary.len())),
        }
    }

    fn found(&self) -> String {
        match self.tokens.get(self.at) {
            Some(&id) => format!("found {}", self.vocabulary.text(id)),
            None => "the sentence ends".into(),
        }
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        fault(self.at, format!("expected {what}, but {}", self.found()))
    }

    fn window(&mut self) -> Parsed<WindowGenes> {
        if self.length > MAX_COORDINATE {
            return fault(0, format!("a window of {} bp is longer than coordinates can say", self.length));
        }
        if self.peek()? != Some(Role::Begin) {
            return self.expected("<bos>");
        }
        self.at += 1;
        let Some(Role::Utr(utr)) = self.peek()? else { return self.expected("<UTR> or <NOUTR>") };
        self.at += 1;
        let Some(Role::Noncoding(noncoding)) = self.peek()? else { return self.expected("<ALL> or <CODING>") };
        self.at += 1;
        self.policy = Policy { utr, noncoding };

        let mut genes: Vec<WindowGene> = Vec::new();
        loop {
            let first = self.at;
            match self.peek()? {
                Some(Role::End) => break,
                Some(Role::Strand(_)) => {}
                _ => return self.expected("a strand or <eos>"),
            }
            let gene = self.gene()?;
            if let Some(before) = genes.last() {
                match before.order(&gene, self.length) {
                    Ordering::Less => {}
                    Ordering::Equal => return fault(first, "the same gene again"),
                    Ordering::Greater => return fault(first, "the gene belongs before the one that it follows"),
                }
            }
            genes.push(gene);
        }
        self.at += 1;
        if self.at < self.tokens.len() {
            return fault(self.at, "the sentence goes on after <eos>");
        }
        Ok(WindowGenes { length: self.length, policy: self.policy, genes })
    }

    fn gene(&mut self) -> Parsed<WindowGene> {
        let (strand, canonical) = self.transcript()?;
        let mut transcripts = vec![canonical];
        while self.peek()? == Some(Role::Isoform) {
            self.at += 1;
            let first = self.at;
            let (other, transcript) = self.transcript()?;
            if other != strand {
                return fault(first, "an isoform on the other strand");
            }
            if transcript == transcripts[0] {
                return fault(first, "the same transcript again");
            }
            if transcripts.len() > 1 {
                match transcripts[transcripts.len() - 1].order(&transcript, self.length) {
                    Ordering::Less => {}
                    Ordering::Equal => return fault(first, "the same transcript again"),
                    Ordering::Greater => return fault(first, "the isoform belongs before the one that it follows"),
                }
            }
            transcripts.push(transcript);
        }
        Ok(WindowGene { strand, transcripts })
    }

    fn cut(&mut self) -> Parsed<Option<State>> {
        let Some(Role::Cut(state)) = self.peek()? else { return Ok(None) };
        self.at += 1;
        Ok(Some(state))
    }

    fn number(&mut self, what: &str) -> Parsed<u32> {
        let Some(Role::Number(number)) = self.peek()? else { return self.expected(what) };
        self.at += 1;
        Ok(number)
    }

    fn transcript(&mut self) -> Parsed<(Strand, WindowTranscript)> {
        let first = self.at;
        let Some(Role::Strand(strand)) = self.peek()? else { return self.expected("a strand") };
        self.at += 1;
        let Some(Role::Biotype(biotype)) = self.peek()? else { return self.expected("a biotype") };
        self.at += 1;
        let left = self.cut()?;
        let left_at = self.at;
        let mut signals = Vec::new();
        while let Some(Role::Kind(kind)) = self.peek()? {
            self.at += 1;
            let thousands = self.number("the thousands of a coordinate")?;
            let units = self.number("the units of a coordinate")?;
            signals.push(Signal { position: thousands * RADIX + units, kind });
        }
        let mut right_at = self.at;
        let mut right = self.cut()?;
        let mut left = left;
        // The language has no transcript with one cut alone; say which is missing rather than what it is taken for.
        if signals.is_empty() && left.is_some() && right.is_none() {
            return self.expected("a signal, or the cut at the right edge");
        }
        if signals.is_empty() && left.is_none() {
            return self.expected("a cut or a signal");
        }
        let biotype = self.vocabulary.biotypes()[biotype as usize].clone();
        let transcript = WindowTranscript { biotype, left: left.take(), signals, right: right.take() };

        if let Err(problem) = transcript.path(strand, self.length) {
            // Signals are counted in transcript direction; the fault at the end is the cut at the 3' edge.
            let count = transcript.signals.len();
            let token = match (problem.signal, strand) {
                (Some(index), Strand::Reverse) => left_at + 3 * (count - 1 - index),
                (Some(index), _) => left_at + 3 * index,
                (None, Strand::Reverse) => first + 2,
                (None, _) => {
                    right_at = right_at.min(self.tokens.len());
                    right_at
                }
            };
            return fault(token, problem.message);
        }
        self.follows_policy(&transcript, first, left_at, right_at)?;
        Ok((strand, transcript))
    }

    fn follows_policy(
        &self,
        transcript: &WindowTranscript,
        first: usize,
        left_at: usize,
        right_at: usize,
    ) -> Parsed<()> {
        if !transcript.is_coding() {
            return if self.policy.noncoding { Ok(()) } else { fault(first, "a non-coding transcript under <CODING>") };
        }
        if self.policy.utr {
            return Ok(());
        }
        let message = "a UTR under <NOUTR>";
        if transcript.left.is_some_and(State::is_untranslated) {
            return fault(left_at - 1, message);
        }
        let ends = |signal: &Signal| matches!(signal.kind, Kind::Tss | Kind::Tts);
        if let Some(index) = transcript.signals.iter().position(ends) {
            return fault(left_at + 3 * index, message);
        }
        if transcript.right.is_some_and(State::is_untranslated) {
            return fault(right_at, message);
        }
        Ok(())
    }
}
