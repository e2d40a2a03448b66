//! The demo's handbook: bounds, determinism, consistency, and that held-out questions are held out.

use std::collections::{BTreeMap, BTreeSet};

use pintle_model::demo::{Handbook, handbook, write};
use pintle_model::pairs::{Pair, PairKind, PairSettings, normalised, pairs};
use sha2::{Digest, Sha256};

fn all_pairs(handbook: &Handbook) -> Vec<Pair> {
    let settings = PairSettings::default();
    handbook.pages.iter().flat_map(|page| pairs(&page.path, &page.text, &settings)).collect()
}

/// A question's words without its subject, so that frames can be compared between subjects.
fn frame(question: &str, subject: &str) -> String {
    let words = format!(" {} ", normalised(question));
    words
        .replace(&format!(" the {subject} "), " _ ")
        .replace(&format!(" {subject} "), " _ ")
        .trim()
        .to_owned()
}

#[test]
fn a_handbook_has_the_size_of_one() {
    let book = handbook(1);
    let words = |text: &str| text.split_whitespace().count();
    let bytes: usize = book.pages.iter().map(|page| page.text.len()).sum();
    let total: usize = book.pages.iter().map(|page| words(&page.text)).sum();
    assert!((250..=300).contains(&book.pages.len()), "{} pages", book.pages.len());
    for page in &book.pages {
        let count = words(&page.text);
        assert!((90..=350).contains(&count), "{}: {count} words", page.path);
        assert!(page.text.starts_with("# ") && page.text.ends_with('\n'), "{}", page.path);
        assert!(!page.text.contains(['{', '}']), "{}: an empty place", page.path);
    }
    let paths: BTreeSet<_> = book.pages.iter().map(|page| &page.path).collect();
    assert_eq!(paths.len(), book.pages.len());
    let pairs = all_pairs(&book);
    let kinds = pairs.iter().fold(BTreeMap::new(), |mut kinds, pair| {
        *kinds.entry(pair.kind).or_insert(0) += 1;
        kinds
    });
    let answers: BTreeSet<_> =
        pairs.iter().filter(|pair| pair.kind == PairKind::Attribute).map(|pair| &pair.answer).collect();
    let facts: BTreeSet<_> = book.questions.iter().map(|question| &question.fact).collect();
    println!(
        "{} pages, {total} words, {bytes} bytes; {} questions about {} facts; {} pairs {kinds:?}, {} attribute answers",
        book.pages.len(),
        book.questions.len(),
        facts.len(),
        pairs.len(),
        answers.len()
    );
    assert!((370_000..=520_000).contains(&bytes), "{bytes} bytes");
    assert!((300..=450).contains(&answers.len()), "{} facts", answers.len());
    assert!(book.questions.len() >= 290 && facts.len() >= 250);
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let book = handbook(1);
    assert_eq!(book, handbook(1));
    assert_ne!(book.pages, handbook(2).pages);
    let mut hash = Sha256::new();
    for page in &book.pages {
        hash.update(&page.path);
        hash.update(&page.text);
    }
    for question in &book.questions {
        hash.update(serde_json::to_string(question).unwrap());
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!(hex);
}

#[test]
fn held_out_questions_are_in_no_page_and_no_pair() {
    for seed in [1, 2, 3] {
        let book = handbook(seed);
        let pairs = all_pairs(&book);
        let asked: BTreeSet<String> = pairs.iter().map(|pair| normalised(&pair.question)).collect();
        let text: String = book.pages.iter().map(|page| format!(" {} ", normalised(&page.text))).collect();
        let subjects: Vec<String> =
            book.pages.iter().filter_map(|page| page.text.lines().next()).map(normalised).collect();
        // Also without their subjects: no sentence frame is shared with any pair.
        let mut frames = BTreeMap::new();
        for pair in &pairs {
            let words = normalised(&pair.question);
            for subject in subjects.iter().filter(|subject| words.contains(*subject)) {
                frames.insert(frame(&pair.question, subject), pair.question.clone());
            }
        }
        let mut seen = BTreeSet::new();
        for question in &book.questions {
            let words = normalised(&question.question);
            assert!(seen.insert(words.clone()), "twice: {words}");
            assert!(!asked.contains(&words), "a pair asks: {words}");
            assert!(!text.contains(&words), "a page says: {words}");
            let subject = question.fact.split(" / ").next().unwrap();
            let masked = frame(&question.question, &normalised(subject));
            assert!(masked.contains('_'), "no subject in {words}");
            // Nor within a longer one, such as a pair's question with words before it.
            let within =
                frames.iter().find(|(frame, _)| format!(" {frame} ").contains(&format!(" {masked} ")));
            assert_eq!(within, None, "a pair's frame: {masked}");
        }
    }
}

#[test]
fn each_answer_is_stated_in_its_page_and_in_a_pair() {
    for seed in [1, 2, 3] {
        let book = handbook(seed);
        let pages: BTreeMap<_, _> = book.pages.iter().map(|page| (&page.path, &page.text)).collect();
        for question in &book.questions {
            let text = pages[&question.page];
            let (subject, label) = question.fact.split_once(" / ").unwrap();
            assert!(text.matches(&question.answer).count() >= 2, "prose and table: {question:?}");
            let made = pairs(&question.page, text, &PairSettings::default());
            let stating: Vec<_> = made
                .iter()
                .filter(|pair| {
                    let answer = pair.answer.to_lowercase();
                    answer.contains(&question.answer.to_lowercase())
                        && answer.contains(&subject.to_lowercase())
                        && answer.contains(&label.to_lowercase())
                })
                .collect();
            assert!(stating.len() >= 12, "{} pairs for {question:?}", stating.len());
            assert!(!normalised(&question.question).contains(&normalised(&question.answer)), "{question:?}");
            assert!(!question.accepted.contains(&question.answer), "{question:?}");
            assert!(stating.iter().all(|pair| question.is_answered_by(&pair.answer)), "{question:?}");
        }
    }
}

#[test]
fn a_fact_told_twice_is_told_alike() {
    let book = handbook(1);
    let mut answers: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for page in &book.pages {
        for pair in pairs(&page.path, &page.text, &PairSettings::default()) {
            answers.entry(normalised(&pair.question)).or_default().insert(pair.answer, page.path.clone());
        }
    }
    for (question, answers) in &answers {
        assert_eq!(answers.len(), 1, "{question}: {answers:?}");
    }
    // Extensions told in passing are those of their departments.
    let listed = &book.pages.iter().find(|page| page.path == "departments/overview.md").unwrap().text;
    let mut told = 0;
    for page in &book.pages {
        for (at, _) in page.text.match_indices("extension ") {
            let number = page.text[at + 10..].split(|c: char| !c.is_ascii_digit()).next().unwrap();
            if !number.is_empty() {
                assert!(listed.contains(&format!(" {number} ")), "{}: {number}", page.path);
                told += 1;
            }
        }
    }
    assert!(told > 100);
}

#[test]
fn it_is_written_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let book = handbook(1);
    write(&book, folder.path()).unwrap();
    for page in &book.pages {
        assert_eq!(std::fs::read_to_string(folder.path().join(&page.path)).unwrap(), page.text);
    }
    let lines = std::fs::read_to_string(folder.path().join("questions.jsonl")).unwrap();
    let read: Vec<pintle_model::demo::Question> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, book.questions);
}
