"""Types of the Rust extension."""

__version__: str

# --- annotation ---

# --- end of annotation ---

# --- bake ---

# --- end of bake ---

# --- compare ---

# --- end of compare ---

# --- decode ---

# --- end of decode ---

# --- language ---

# --- end of language ---

# --- packed ---

# --- end of packed ---

# --- tokenizer ---

# --- end of tokenizer ---
