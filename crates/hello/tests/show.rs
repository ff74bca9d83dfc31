//! What the program shows, as it is read.
