"""The model: configuration, encoder, base head, compressor, decoder, generation; at home in transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, AutoTokenizer

from genet5.model.cache import GeneT5Cache
from genet5.model.configuration import GeneT5Config
from genet5.model.modeling import GeneT5ForConditionalGeneration, GeneT5PreTrainedModel
from genet5.model.output import GeneT5Memory, GeneT5Output
from genet5.model.segments import Segments
from genet5.model.tokenizer import GeneT5Tokenizer

AutoConfig.register("genet5", GeneT5Config)
AutoModel.register(GeneT5Config, GeneT5ForConditionalGeneration)
AutoModelForSeq2SeqLM.register(GeneT5Config, GeneT5ForConditionalGeneration)
AutoTokenizer.register(GeneT5Config, fast_tokenizer_class=GeneT5Tokenizer)

__all__ = [
    "GeneT5Cache",
    "GeneT5Config",
    "GeneT5ForConditionalGeneration",
    "GeneT5Memory",
    "GeneT5Output",
    "GeneT5PreTrainedModel",
    "GeneT5Tokenizer",
    "Segments",
]
