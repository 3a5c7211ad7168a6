//! The annotation language and labels of bases as Python sees them.

use std::collections::HashMap;
use std::path::PathBuf;

use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::annotation::{PyAnnotation, PyGenome};
use crate::annotation::writer::Codes;
use crate::dna::GeneticCode;
use crate::error::{Error, Result};
use crate::gene::Gene;
use crate::labels::{LabelTables, SIGNALS, StartCodons, base_labels};
use crate::language::{
    Policy, PreparedGene, Reason, Role, SequenceContext, Telling, Window, clip, decode, encode, place, validate,
};

/// Token ids of the annotation language within one tokenizer.
#[pyclass(frozen, module = "genet5._core")]
pub struct Vocabulary {
    pub inner: crate::language::Vocabulary,
}

#[pymethods]
impl Vocabulary {
    /// The built-in tokens alone, without DNA: ids count from 0.
    #[staticmethod]
    fn builtin() -> Self {
        Vocabulary { inner: crate::language::Vocabulary::builtin() }
    }

    /// Of a `tokenizer.json`.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = py.detach(|| crate::language::Vocabulary::from_tokenizer_json(&path))?;
        Ok(Vocabulary { inner })
    }

    /// From all token strings in the order of their ids.
    #[staticmethod]
    fn from_tokens(tokens: Vec<String>) -> PyResult<Self> {
        Ok(Vocabulary { inner: crate::language::Vocabulary::from_tokens(tokens)? })
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __repr__(&self) -> String {
        format!("Vocabulary({} tokens, {} biotypes)", self.inner.len(), self.inner.biotypes().len())
    }

    /// All token strings; the index is the id.
    #[getter]
    fn tokens(&self) -> Vec<String> {
        self.inner.tokens().to_vec()
    }

    /// The biotypes that have a token.
    #[getter]
    fn biotypes(&self) -> Vec<String> {
        self.inner.biotypes().iter().map(|biotype| biotype.to_string()).collect()
    }

    /// Token strings to ids.
    fn ids(&self, tokens: Vec<String>) -> PyResult<Vec<u32>> {
        let index: rustc_hash::FxHashMap<&str, u32> =
            self.inner.tokens().iter().enumerate().map(|(id, token)| (token.as_str(), id as u32)).collect();
        let id = |token: &String| {
            let id = index.get(token.as_str()).copied();
            id.ok_or_else(|| PyErr::from(Error::input(format!("no token {token:?} in the vocabulary"))))
        };
        tokens.iter().map(id).collect()
    }

    /// Ids to token strings.
    fn texts(&self, ids: Vec<u32>) -> Vec<String> {
        ids.into_iter().map(|id| self.inner.text(id)).collect()
    }

    /// What a token is: `bos`, `eos`, `policy`, `alt`, `strand`, `cut`, `kind`, `biotype`, `number`, `gap` or `other`.
    fn role(&self, id: u32) -> PyResult<&'static str> {
        let len = self.inner.len();
        let role = self.inner.role(id).ok_or_else(|| Error::input(format!("id {id} is not one of {len} tokens")))?;
        Ok(match role {
            Role::Gap(_) => "gap",
            Role::Begin => "bos",
            Role::End => "eos",
            Role::Utr(_) | Role::Noncoding(_) => "policy",
            Role::Isoform => "alt",
            Role::Strand(_) => "strand",
            Role::Cut(_) => "cut",
            Role::Kind(_) => "kind",
            Role::Biotype(_) => "biotype",
            Role::Number(_) => "number",
            Role::Other => "other",
        })
    }
}

/// The tokens that every tokenizer has after its DNA tokens.
#[pyfunction]
fn builtin_tokens() -> Vec<String> {
    crate::language::builtin_tokens()
}

/// Names of the reasons why a gene is not said, and what they mean.
#[pyfunction]
fn language_reasons() -> Vec<(&'static str, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.name(), reason.explanation())).collect()
}

fn genetic_code(number: u32) -> Result<&'static GeneticCode> {
    GeneticCode::by_number(number).ok_or_else(|| {
        let known: Vec<String> = GeneticCode::all().iter().map(|code| code.number.to_string()).collect();
        Error::input(format!("no genetic code {number}: NCBI has {}", known.join(", ")))
    })
}

fn window(start: u64, length: u32, reverse: bool, sequence_length: u64, circular: bool) -> Result<Window> {
    let end = start.saturating_add(u64::from(length));
    let fits =
        if circular { start < sequence_length && u64::from(length) <= sequence_length } else { end <= sequence_length };
    if !fits || length == 0 {
        return Err(Error::input(format!("the window {start}..{end} does not fit a sequence of {sequence_length} bp")));
    }
    Ok(Window { start, length, reverse })
}

/// Gene models as JSON, checked as far as their types do not say it.
fn genes_of_json(text: &str) -> Result<Vec<Gene>> {
    let genes: Vec<Gene> = serde_json::from_str(text)
        .map_err(|error| Error::input(format!("these are no gene models as JSON: {error}")))?;
    for gene in &genes {
        let fault = |what: String| Err(Error::input(format!("gene {:?}: {what}", gene.id)));
        for transcript in &gene.transcripts {
            if transcript.cds_phase > 2 {
                return fault(format!("cds_phase is {}, not 0, 1 or 2", transcript.cds_phase));
            }
            let mut parts = transcript.exons.iter().chain(&transcript.cds).chain([&gene.span]);
            if let Some(part) = parts.find(|part| part.start >= part.end) {
                return fault(format!("{}..{} is empty or backwards", part.start, part.end));
            }
        }
    }
    Ok(genes)
}

type Ignored = Vec<(u32, u32, &'static str)>;

/// The sentence of a window: token ids, the index from which on it cannot be learned, and what is ignored
/// (start, end, reason).
#[pyfunction]
#[pyo3(signature = (genes, sequence, start, length, vocabulary, *, reverse=false, circular=false, genetic_code=1, utr=true, noncoding=true, isoforms=None))]
#[allow(clippy::too_many_arguments)]
fn encode_genes<'py>(
    py: Python<'py>,
    genes: String,
    sequence: &[u8],
    start: u64,
    length: u32,
    vocabulary: &Vocabulary,
    reverse: bool,
    circular: bool,
    genetic_code: u32,
    utr: bool,
    noncoding: bool,
    isoforms: Option<usize>,
) -> PyResult<(Bound<'py, PyArray1<u32>>, usize, Ignored)> {
    let (tokens, masked_from, ignored) = py.detach(|| -> Result<_> {
        let genes = genes_of_json(&genes)?;
        let sequence_length = sequence.len() as u64;
        let window = window(start, length, reverse, sequence_length, circular)?;
        let code = self::genetic_code(genetic_code)?;
        let context = SequenceContext { bases: sequence, circular, code };
        let policy = Policy { utr, noncoding };
        let prepared: Vec<PreparedGene> = genes.iter().map(|gene| PreparedGene::new(gene, &context, policy)).collect();
        let isoforms = isoforms.unwrap_or(usize::MAX);
        let clipped = clip(&prepared, window, sequence_length, circular, policy, isoforms);
        let ignored = clipped.ignored.iter().map(|gene| (gene.start, gene.end, gene.reason.name())).collect();
        Ok((encode(&clipped.genes, &vocabulary.inner)?, clipped.masked_from(), ignored))
    })?;
    Ok((PyArray1::from_vec(py, tokens), masked_from, ignored))
}

/// Gene models as JSON, in sequence coordinates.
#[pyfunction]
#[pyo3(signature = (tokens, length, vocabulary, *, start=0, reverse=false, sequence_length=None))]
fn decode_sentence(
    py: Python<'_>,
    tokens: Vec<u32>,
    length: u32,
    vocabulary: &Vocabulary,
    start: u64,
    reverse: bool,
    sequence_length: Option<u64>,
) -> PyResult<String> {
    let json = py.detach(|| -> Result<String> {
        let genes = decode(&tokens, length, &vocabulary.inner)?;
        let end = start.saturating_add(u64::from(length));
        if end > u64::from(u32::MAX) << 16 {
            return Err(Error::input(format!("a window at {start} lies beyond any sequence")));
        }
        let sequence_length = sequence_length.unwrap_or(end);
        let placed = place(&genes, Window { start, length, reverse }, sequence_length, 0)?;
        Ok(serde_json::to_string(&placed).expect("gene models have no maps and no odd keys"))
    })?;
    Ok(json)
}

/// Of every gene, its id and what becomes of it in sentences: `said`, `unannotated` or the name of a reason; and the
/// transcripts of said genes that are not said, with the reason.
#[pyfunction]
#[pyo3(signature = (annotation, genome, *, genetic_code=None, codes=None, utr=true, noncoding=true))]
#[allow(clippy::type_complexity)]
fn tell_genes(
    py: Python<'_>,
    annotation: &PyAnnotation,
    genome: &PyGenome,
    genetic_code: Option<u32>,
    codes: Option<HashMap<String, u32>>,
    utr: bool,
    noncoding: bool,
) -> PyResult<(Vec<(String, &'static str)>, Vec<(String, &'static str)>)> {
    let codes = Codes { default: genetic_code, by_seqid: codes.unwrap_or_default().into_iter().collect() };
    let (annotation, genome) = (&annotation.inner, &genome.inner);
    Ok(py.detach(|| -> Result<_> {
        let indices = genome.indices();
        let (mut told, mut dropped) = (Vec::with_capacity(annotation.genes.len()), Vec::new());
        for gene in &annotation.genes {
            let seqid = &annotation.seqids[gene.seqid as usize];
            let Some(&index) = indices.get(seqid.as_str()) else {
                return Err(Error::input(format!(
                    "the genome has no sequence {seqid:?}, on which gene {:?} lies",
                    gene.id
                )));
            };
            let sequence = &genome.sequences[index];
            let circular = sequence.circular || annotation.circular[gene.seqid as usize];
            let code = codes.of(annotation, gene.seqid)?;
            let context = SequenceContext { bases: &sequence.bases, circular, code };
            let prepared = PreparedGene::new(gene, &context, Policy { utr, noncoding });
            let what = match &prepared.telling {
                Telling::Said(_) => "said",
                Telling::Unannotated => "unannotated",
                Telling::Ignored(reason) => reason.name(),
            };
            told.push((gene.id.clone(), what));
            let lost =
                prepared.dropped.iter().map(|&(index, reason)| (gene.transcripts[index].id.clone(), reason.name()));
            dropped.extend(lost);
        }
        Ok((told, dropped))
    })?)
}

/// What is wrong with a sentence: index of the token and a message; `None` where nothing is.
#[pyfunction]
fn validate_sentence(tokens: Vec<u32>, length: u32, vocabulary: &Vocabulary) -> Option<(usize, String)> {
    validate(&tokens, length, &vocabulary.inner).err().map(|fault| (fault.token, fault.message))
}

type LabelArrays<'py> = (Bound<'py, PyArray2<i8>>, Bound<'py, PyArray3<i8>>);

/// Labels of every base from a window's sentence.
#[pyfunction]
#[pyo3(name = "base_labels", signature = (tokens, bases, vocabulary, *, genetic_code=1, starts=None, ignore=Vec::new()))]
fn base_labels_of_window<'py>(
    py: Python<'py>,
    tokens: Vec<u32>,
    bases: PyReadonlyArray1<'py, u8>,
    vocabulary: &Vocabulary,
    genetic_code: u32,
    starts: Option<Vec<String>>,
    ignore: Vec<(u32, u32)>,
) -> PyResult<LabelArrays<'py>> {
    let length = bases.len();
    let bases = bases.as_slice().map_err(|_| Error::input("bases must be contiguous"))?;
    let (classes, signals) = py.detach(|| -> Result<_> {
        let code = self::genetic_code(genetic_code)?;
        let starts = match starts {
            Some(codons) => StartCodons::from_codons(&codons)?,
            None => StartCodons::of_code(code),
        };
        let tables = LabelTables::new(code, starts);
        let (mut classes, mut signals) = (vec![0; 2 * length], vec![0; 2 * SIGNALS * length]);
        base_labels(&tokens, bases, &vocabulary.inner, &tables, &ignore, &mut classes, &mut signals)?;
        Ok((classes, signals))
    })?;
    let classes = PyArray1::from_vec(py, classes).reshape([length, 2])?;
    let signals = PyArray1::from_vec(py, signals).reshape([length, 2, SIGNALS])?;
    Ok((classes, signals))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Vocabulary>()?;
    module.add_function(wrap_pyfunction!(builtin_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(language_reasons, module)?)?;
    module.add_function(wrap_pyfunction!(tell_genes, module)?)?;
    module.add_function(wrap_pyfunction!(encode_genes, module)?)?;
    module.add_function(wrap_pyfunction!(decode_sentence, module)?)?;
    module.add_function(wrap_pyfunction!(validate_sentence, module)?)?;
    module.add_function(wrap_pyfunction!(base_labels_of_window, module)?)?;
    Ok(())
}
