//! Gene models from evidence: exact dynamic programs.
