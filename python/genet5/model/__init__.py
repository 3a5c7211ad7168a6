"""The GeneT5 model: configuration, encoder, base head, compressor, decoder and mixture of experts."""
