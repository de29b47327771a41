//! The plan language: types, parsing with locations, validation, selectors.

pub mod selector;
pub mod v1alpha1;
