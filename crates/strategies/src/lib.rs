//! The ways to compile that come with Coluber.
//!
//! Each is a thin file that says which steps of [`pipeline`] it takes, in which order and why; none knows another.
//! The first one of [`registry`] is the default. A new strategy is a file here and a line in the registry.
#![forbid(unsafe_code)]

mod baseline;
mod none;
mod optimizing;
mod pipeline;

use coluber_engine::Registry;
use std::sync::Arc;

/// All strategies, the default one first.
pub fn registry() -> Registry {
    Registry::new(vec![Arc::new(optimizing::Optimizing), Arc::new(baseline::Baseline), Arc::new(none::None)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = registry().names().into_iter().collect();
        assert_eq!(names.len(), registry().names().len());
    }

    #[test]
    fn options_page_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/options.md");
        let page = coluber_engine::options::page(&registry().names());
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("docs can be made");
            std::fs::write(&path, &page).expect("the page can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page, "docs/options.md is out of date: run with BLESS=1");
    }
}
