//! Compares predicted with reference gene models.
