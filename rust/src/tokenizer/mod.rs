//! Byte-pair encoding of DNA, equal to Hugging Face tokenizers.
