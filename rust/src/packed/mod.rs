//! The packed file: writer, reader, and operations that copy bytes.
