//! A small look at what tuning cost: texts that have nothing to do with the organisation.
//!
//! The set is our own and tiny: 32 short English texts, about 5 kB. It shows a model that forgot how to write
//! sentences; it does not measure knowledge, and it says nothing about other languages. The margin on it is there to
//! catch damage, not to rank models.

/// The texts, separated by blank lines in the file.
const GENERAL: &str = include_str!("general.txt");

/// The built-in general texts, in their order.
pub fn general_texts() -> impl Iterator<Item = &'static str> + Clone {
    GENERAL.split("\n\n").map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_what_its_header_says() {
        assert_eq!(general_texts().count(), 32);
        let bytes: usize = general_texts().map(str::len).sum();
        assert!((4_000..6_000).contains(&bytes), "{bytes}");
        assert!(GENERAL.is_ascii());
    }
}
