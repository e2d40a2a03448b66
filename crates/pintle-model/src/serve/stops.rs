//! Ends a text at the first stop string, and never gives a part of one out.

/// The filter of one answer.
#[derive(Debug)]
pub(super) struct Stops {
    stops: Vec<String>,
    held: String,
}

impl Stops {
    pub(super) fn new(stops: &[String]) -> Self {
        Stops { stops: stops.to_vec(), held: String::new() }
    }

    /// Takes the next piece. Gives what can be given out, and whether a stop string ended the text.
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let rest = self.held.split_off(self.safe());
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, when the text ended otherwise.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Up to here no stop string can begin any more.
    fn safe(&self) -> usize {
        let begins = |at: &usize| {
            let end = self.held.get(*at..).unwrap_or_default();
            self.stops.iter().any(|stop| stop.starts_with(end))
        };
        let mut places = self.held.char_indices().map(|(at, _)| at);
        places.find(begins).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut filter = Stops::new(&stops.iter().map(|stop| (*stop).to_owned()).collect::<Vec<_>>());
        let mut text = String::new();
        for piece in pieces {
            let (part, is_end) = filter.push(piece);
            text.push_str(&part);
            if is_end {
                return (text, true);
            }
        }
        text.push_str(&filter.finish());
        (text, false)
    }

    #[test]
    fn no_part_of_a_stop_string_is_given_out_wherever_it_is_cut() {
        let whole = "One ürn. END of it";
        for (at, _) in whole.char_indices() {
            let (head, tail) = whole.split_at(at);
            assert_eq!(run(&["END", "zzz"], &[head, tail]), ("One ürn. ".to_owned(), true), "cut at {at}");
        }
        let letters: Vec<String> = whole.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(run(&["END"], &letters), ("One ürn. ".to_owned(), true));
        assert_eq!(run(&["ENDE"], &letters), (whole.to_owned(), false));
        assert_eq!(run(&["of", "END of"], &[whole]), ("One ürn. ".to_owned(), true));
        assert_eq!(run(&[], &[whole]), (whole.to_owned(), false));
    }
}
