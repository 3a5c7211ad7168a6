//! Bases, reverse complement, genetic codes and translation.
