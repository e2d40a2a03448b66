//! The corpus from the outside: folders in, documents and a report out.

use std::{
    fs::{self, File},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use pintle_core::DataClass;
use pintle_guard::{Dictionary, Guard, GuardConfig};
use pintle_model::corpus::{
    Corpus, CorpusError, CorpusLimits, CorpusRecipe, CsvDocuments, Document, Progress, Reason, gather,
};
use tempfile::TempDir;

/// Values that the guard finds, in no text of this project's but these tests.
const EMAIL: &str = "jane.roe@nordwind-handel.example.com";
const IBAN: &str = "DE89 3704 0044 0532 0130 00";
const AWS_KEY: &str = "AKIAIOSFODNN7QZXWVUT";
const CODE_NAME: &str = "Blue Heron";

fn guard() -> Guard {
    let names = Dictionary::parse("code-names".parse().unwrap(), DataClass::Restricted, CODE_NAME).unwrap();
    Guard::new(&GuardConfig { dictionaries: vec![names], ..GuardConfig::default() }).unwrap()
}

/// Different sentences for each seed, long enough to stay.
fn prose(seed: u64) -> String {
    let subjects = ["The office", "A manager", "Each team", "The board", "A supplier", "Our warehouse"];
    let verbs = ["reviews", "approves", "sends", "archives", "counts", "replaces"];
    let objects =
        ["the quarterly plan", "every request", "two invoices", "old equipment", "the visitor list"];
    let times =
        ["on Monday", "before noon", "within five days", "after the audit", "in spring", "twice a year"];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66;
    let mut pick = |list: &[&str]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap() % list.len();
        list[at].to_owned()
    };
    (0..12)
        .map(|_| format!("{} {} {} {}. ", pick(&subjects), pick(&verbs), pick(&objects), pick(&times)))
        .collect()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn recipe(folder: &Path) -> CorpusRecipe {
    CorpusRecipe { held_out_percent: 0, ..CorpusRecipe::new(vec![folder.to_path_buf()]) }
}

fn run(recipe: &CorpusRecipe) -> Result<Corpus, CorpusError> {
    gather(recipe, &guard(), &mut |_| {}, &AtomicBool::new(false))
}

/// The name below the folder, and the line.
fn name(folder: &TempDir, document: &Document) -> String {
    let path = document.path.strip_prefix(folder.path().to_str().unwrap()).unwrap();
    let line = document.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}", &path[1..])
}

fn names(folder: &TempDir, corpus: &Corpus) -> Vec<String> {
    corpus.documents.iter().map(|document| name(folder, document)).collect()
}

/// Why the only document that left for `reason` did.
fn because(corpus: &Corpus, reason: Reason) -> String {
    let left = &corpus.report.left[&reason];
    assert_eq!((left.documents, left.listed.len()), (1, 1), "{reason:?}: {left:?}");
    left.listed[0].because.clone()
}

#[test]
fn every_format_is_read() {
    let chat = serde_json::json!({"messages": [
        {"role": "user", "content": "How many days of leave do I have in my first year here?"},
        {"role": "assistant", "content": "Twenty-five, and five more once you have been here for ten years."},
    ]});
    let record = serde_json::json!({"text": prose(1)});
    let utf16: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(prose(2).encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let folder = folder(&[
        ("a.md", format!("---\ntitle: Leave\n---\n{}<!-- draft -->\n", prose(3)).as_bytes()),
        ("b.txt", &utf16),
        ("c.html", format!("<title>Rooms</title><nav>Home</nav><p>{}</p>", prose(4)).as_bytes()),
        ("d.jsonl", format!("\u{FEFF}{record}\r\n\n{chat}\n").as_bytes()),
        (
            "e.csv",
            b"item,price_eur\nDesk with a lamp and two drawers,200\nChair with arms and five wheels,100\n",
        ),
        ("f/G.MD", format!("\u{FEFF}# Top\r\n\r\n\r\n{}\r\n", prose(5)).as_bytes()),
    ]);
    let corpus = run(&recipe(folder.path())).unwrap();
    assert_eq!(
        names(&folder, &corpus),
        ["a.md", "b.txt", "c.html", "d.jsonl:1", "d.jsonl:3", "e.csv", "f/G.MD"]
    );
    let text = |at: usize| corpus.documents[at].text.as_str();
    assert_eq!(text(0), format!("# Leave\n\n{}", prose(3).trim_end()));
    assert_eq!(text(1), prose(2).trim_end());
    assert_eq!(text(2), format!("# Rooms\n\n{}", prose(4).trim_end()));
    assert_eq!(text(3), prose(1).trim_end());
    assert!(text(4).starts_with("User: How many") && text(4).contains("\n\nAssistant: Twenty-five"));
    assert!(text(5).ends_with("item: Chair with arms and five wheels\nprice eur: 100"), "{}", text(5));
    assert_eq!(text(6), format!("# Top\n\n{}", prose(5).trim_end()));
    let report = &corpus.report;
    assert_eq!((report.documents_in, report.documents_kept, report.documents_left()), (7, 7, 0));
    assert_eq!(corpus.class, DataClass::Internal);
    let bytes: usize = corpus.documents.iter().map(|document| document.text.len()).sum();
    assert_eq!(report.bytes, bytes as u64);
}

#[test]
fn csv_rows_can_be_documents() {
    let rows: String = (0..5).map(|n| format!("\"{}\",{n}\n", prose(n))).collect();
    let folder = folder(&[("faq.csv", format!("answer,number\n{rows}").as_bytes())]);
    let recipe = CorpusRecipe { csv: CsvDocuments::Row, ..recipe(folder.path()) };
    let corpus = run(&recipe).unwrap();
    assert_eq!(names(&folder, &corpus), ["faq.csv:2", "faq.csv:3", "faq.csv:4", "faq.csv:5", "faq.csv:6"]);
}

#[test]
fn documents_leave_for_every_reason() {
    let first = prose(7);
    let near =
        first.replacen("the quarterly plan", "the plan", 1).replacen("every request", "each request", 1);
    assert_ne!(near, first);
    let folder = folder(&[
        ("a.md", first.as_bytes()),
        ("copy.txt", first.to_uppercase().as_bytes()),
        ("garbled.txt", "GrÃ¼ÃŸe aus KÃ¶ln ".repeat(9).as_bytes()),
        ("image.png", b"\x89PNG"),
        ("latin.txt", "Gr\u{fc}\u{df}e".chars().map(|c| c as u8).collect::<Vec<_>>().as_slice()),
        ("near.md", format!("{near} One more.").as_bytes()),
        ("nothing.md", b" \n\n"),
        ("record.jsonl", b"{\"prompt\": \"x\"}\n"),
        ("short.md", b"Too short."),
        ("value.md", format!("{} The key is {AWS_KEY}.", prose(8)).as_bytes()),
        ("x/y/deep.md", b""),
    ]);
    let mut recipe = recipe(folder.path());
    recipe.limits.depth = 1;
    let corpus = run(&recipe).unwrap();
    assert_eq!(names(&folder, &corpus), ["a.md"]);
    let said = |reason| because(&corpus, reason);
    let first = corpus.documents[0].path.as_str();
    assert_eq!(said(Reason::Duplicate), format!("has the same words as `{first}`"));
    let near = said(Reason::NearDuplicate);
    assert!(near.starts_with("is 8") || near.starts_with("is 9"), "{near}");
    assert!(near.ends_with(&format!("% like `{first}`")), "{near}");
    assert!(said(Reason::Garbled).contains("one encoding and read in another"));
    assert!(said(Reason::Format).contains(".jsonl"));
    assert!(said(Reason::Encoding).contains("Latin-1"));
    assert_eq!(said(Reason::Empty), "has no text");
    assert!(said(Reason::Malformed).contains("neither `text` nor `messages`"));
    assert!(said(Reason::TooShort).contains("10 characters, fewer than 80"));
    assert_eq!(
        said(Reason::Class),
        "is restricted because of 1 × aws_access_key; accepted is up to internal (`accepts`)"
    );
    assert!(said(Reason::TooDeep).contains("limits.depth"));
    let report = &corpus.report;
    assert_eq!(report.documents_in, report.documents_kept + report.documents_left());
    assert_eq!(report.classes_found[&DataClass::Restricted], 1);
    let read: pintle_model::corpus::CorpusReport =
        serde_json::from_str(&serde_json::to_string(report).unwrap()).unwrap();
    assert_eq!(&read, report);
    let markdown = report.to_markdown().replace(folder.path().to_str().unwrap(), "docs");
    insta::assert_snapshot!("report", markdown);
}

#[test]
fn values_are_masked_and_appear_nowhere() {
    let plain_iban = IBAN.replace(' ', "");
    let values = [EMAIL, IBAN, &plain_iban, AWS_KEY, CODE_NAME];
    let file_name = format!("{EMAIL}.md");
    let statement = format!("statement_{plain_iban}.pdf");
    let folder = folder(&[
        ("a.md", format!("{} Write to {EMAIL} or {EMAIL}; pay to {IBAN}.", prose(1)).as_bytes()),
        ("b.csv", format!("name,e_mail,iban\nJane Roe,{EMAIL},{IBAN}\nJane Roe,,\nJane Roe,,\n").as_bytes()),
        ("c.md", format!("{} The project {CODE_NAME} is late.", prose(2)).as_bytes()),
        ("d.jsonl", format!("{{\"{AWS_KEY}\": \"{EMAIL}\"}}\n{{\"text\": {AWS_KEY}}}\n").as_bytes()),
        (&file_name, prose(3).as_bytes()),
        (&statement, b""),
    ]);
    let mask = vec!["email".to_owned(), "iban".to_owned()];
    let recipe = CorpusRecipe { mask, minimum_chars: 20, ..recipe(folder.path()) };
    let corpus = run(&recipe).unwrap();
    let text = &corpus.documents[0].text;
    assert!(text.ends_with("Write to [MASKED:EMAIL] or [MASKED:EMAIL]; pay to [MASKED:IBAN]."), "{text}");
    assert!(corpus.documents[1].text.contains("e mail: [MASKED:EMAIL]\niban: [MASKED:IBAN]"));
    assert!(corpus.documents[2].path.ends_with("/[MASKED:EMAIL].md"), "{}", corpus.documents[2].path);
    assert_eq!(corpus.class, DataClass::Internal);
    let report = &corpus.report;
    assert_eq!((report.masked["email"], report.masked["iban"]), (3, 2));
    assert_eq!(report.findings["dictionary:code-names"], 1);
    assert!(report.findings_kept.is_empty());
    let out = format!(
        "{corpus:?} {} {} {}",
        report.to_markdown(),
        serde_json::to_string(report).unwrap(),
        corpus.documents.iter().map(|document| document.text.as_str()).collect::<String>()
    );
    for value in values {
        assert!(!out.contains(value), "{value}");
    }
    assert!(!format!("{corpus:?}").contains(&prose(1)[..20]), "Debug shows text");
}

#[test]
fn the_class_is_that_of_the_highest_document() {
    let folder = folder(&[
        ("a.md", prose(1).as_bytes()),
        ("b.md", format!("{} Write to {EMAIL}.", prose(2)).as_bytes()),
        ("c.md", format!("{} The key is {AWS_KEY}.", prose(3)).as_bytes()),
    ]);
    let class = |accepts, class_at_least| {
        let corpus = run(&CorpusRecipe { accepts, class_at_least, ..recipe(folder.path()) }).unwrap();
        (corpus.class, corpus.documents.len())
    };
    assert_eq!(class(DataClass::Public, DataClass::Public), (DataClass::Public, 1));
    assert_eq!(class(DataClass::Internal, DataClass::Internal), (DataClass::Internal, 1));
    assert_eq!(class(DataClass::Confidential, DataClass::Internal), (DataClass::Confidential, 2));
    assert_eq!(class(DataClass::Restricted, DataClass::Internal), (DataClass::Restricted, 3));
    assert_eq!(class(DataClass::Restricted, DataClass::Restricted), (DataClass::Restricted, 3));
    let corpus = run(&CorpusRecipe { accepts: DataClass::Restricted, ..recipe(folder.path()) }).unwrap();
    assert_eq!(corpus.report.findings_kept["email"], 1);
}

#[test]
fn the_same_files_give_the_same_corpus_and_the_split_stays() {
    let texts: Vec<(String, String)> = (0..200).map(|n| (format!("{n:03}.md"), prose(n))).collect();
    let files: Vec<(&str, &[u8])> =
        texts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let whole = folder(&files);
    let part = folder(&files[50..150]);
    let split = |folder: &TempDir| {
        let recipe = CorpusRecipe { held_out_percent: 20, ..recipe(folder.path()) };
        run(&recipe).unwrap()
    };
    let (first, again, part) = (split(&whole), split(&whole), split(&part));
    assert_eq!((&first.documents, &first.report), (&again.documents, &again.report));
    assert_eq!(first.documents.len(), 200);
    let held: Vec<_> = first.held_out().map(|document| document.hash).collect();
    assert!((20..60).contains(&held.len()), "{}", held.len());
    assert_eq!(first.training().count() + held.len(), 200);
    for document in &part.documents {
        assert_eq!(document.held_out, held.contains(&document.hash));
    }
    assert_ne!(first.report.hash, part.report.hash);
}

/// A file of `bytes` zeros that takes no room on the disk.
fn sparse(path: &Path, bytes: u64) {
    File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_line_of_two_gigabytes_leaves_without_being_read_into_memory() {
    let record = serde_json::json!({"text": prose(2)});
    let folder = folder(&[("a.md", prose(1).as_bytes()), ("c.jsonl", format!("{record}\n").as_bytes())]);
    sparse(&folder.path().join("b.txt"), 2 << 30);
    let default = run(&recipe(folder.path())).unwrap();
    assert!(because(&default, Reason::TooLarge).contains("2147483648 bytes, more than 268435456"));

    let limits = CorpusLimits { file_bytes: 4 << 30, total_bytes: 8 << 30, ..CorpusLimits::default() };
    let open = CorpusRecipe { limits, ..recipe(folder.path()) };
    // Records after the line may be sound, so JSONL is read to its end; a quarter of it shows as much.
    sparse(&folder.path().join("c.jsonl"), 512 << 20);
    fs::write(folder.path().join("d.jsonl"), format!("{record}\n")).unwrap();
    let before = resident_kib();
    let corpus = run(&open).unwrap();
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 200 << 10, "{grown} KiB more");
    assert_eq!(names(&folder, &corpus), ["a.md", "d.jsonl:1"]);
    let left = &corpus.report.left[&Reason::LongLine];
    assert_eq!(left.documents, 2);
    assert!(left.listed[0].because.contains("a line of more than 4194304 bytes (`limits.line_bytes`)"));
    assert_eq!(left.listed[1].line, Some(1));
}

/// The peak of this process's resident memory.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default()
}

#[test]
fn a_long_record_leaves_and_the_next_one_stays() {
    let long = serde_json::json!({"text": "word ".repeat(1000)});
    let record = serde_json::json!({"text": prose(1)});
    let folder = folder(&[(
        "a.jsonl",
        format!("{record}\n{long}\nnot json\n[\n{}", record.to_string().replace("office", "house"))
            .as_bytes(),
    )]);
    let mut recipe = recipe(folder.path());
    recipe.limits.line_bytes = 2000;
    recipe.near_duplicate_percent = 100;
    let corpus = run(&recipe).unwrap();
    assert_eq!(names(&folder, &corpus), ["a.jsonl:1", "a.jsonl:5"]);
    assert_eq!(corpus.report.left[&Reason::LongLine].listed[0].line, Some(2));
    assert_eq!(corpus.report.left[&Reason::Malformed].documents, 2);
}

#[test]
fn limits_on_the_whole_are_errors() {
    let record = serde_json::json!({"text": prose(2)});
    let folder =
        folder(&[("a.md", prose(1).as_bytes()), ("b.jsonl", format!("{record}\n{record}\n").as_bytes())]);
    for (limit, change) in [
        ("files", CorpusLimits { files: 1, ..CorpusLimits::default() }),
        ("documents", CorpusLimits { documents: 2, ..CorpusLimits::default() }),
        ("total_bytes", CorpusLimits { total_bytes: 900, ..CorpusLimits::default() }),
    ] {
        let error = run(&CorpusRecipe { limits: change, ..recipe(folder.path()) }).unwrap_err();
        assert!(matches!(error, CorpusError::TooMuch { limit: named, .. } if named == limit), "{error}");
        assert!(error.to_string().contains(&format!("`limits.{limit}`")), "{error}");
    }
}

#[test]
fn patterns_hidden_files_and_links() {
    let folder = folder(&[
        ("a.md", prose(1).as_bytes()),
        ("a.txt", prose(2).as_bytes()),
        ("drafts/b.md", prose(3).as_bytes()),
        (".git/c.md", prose(4).as_bytes()),
        ("x/y/d.md", prose(5).as_bytes()),
    ]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path(), folder.path().join("x/loop")).unwrap();
    let patterns = |all: &[&str]| all.iter().map(|pattern| pattern.parse().unwrap()).collect();
    let recipe = CorpusRecipe {
        include: patterns(&["*.md"]),
        exclude: patterns(&["drafts/"]),
        ..recipe(folder.path())
    };
    let corpus = run(&recipe).unwrap();
    assert_eq!(names(&folder, &corpus), ["a.md", "x/y/d.md"]);
    assert_eq!((corpus.report.hidden, corpus.report.excluded), (1, 2));
    #[cfg(unix)]
    assert!(because(&corpus, Reason::NoFile).contains("symbolic link"));
}

#[test]
fn what_leaves_no_corpus_says_why() {
    let folder = folder(&[("a.md", b"short"), ("b.md", b"")]);
    let empty = run(&recipe(folder.path())).unwrap_err();
    assert_eq!(empty.to_string(), "the corpus is empty: 2 documents came in, 2 left (1 empty, 1 too short)");
    let CorpusError::Empty { report, .. } = empty else { panic!("{empty}") };
    assert_eq!(report.documents_left(), 2);

    let missing = run(&recipe(&folder.path().join("gone"))).unwrap_err().to_string();
    assert!(missing.contains("gone` cannot be read: entity not found"), "{missing}");
    let mask = vec!["e-mail".to_owned()];
    let wrong = run(&CorpusRecipe { mask, ..recipe(folder.path()) }).unwrap_err().to_string();
    assert!(wrong.starts_with("`mask` names `e-mail`"), "{wrong}");

    let held = (0..).map(prose).find(|text| {
        fs::write(folder.path().join("a.md"), text).unwrap();
        let recipe = CorpusRecipe { held_out_percent: 50, ..recipe(folder.path()) };
        matches!(run(&recipe), Err(CorpusError::AllHeldOut { documents: 1 }))
    });
    assert!(held.is_some());
}

#[test]
fn progress_is_told_and_stopping_is_heeded() {
    let folder = folder(&[("a.md", prose(1).as_bytes()), ("b.md", prose(2).as_bytes())]);
    let mut told = Vec::new();
    let stop = AtomicBool::new(false);
    let all = gather(&recipe(folder.path()), &guard(), &mut |at| told.push(at), &stop).unwrap();
    assert_eq!(told.len(), 2);
    let total = all.report.bytes + 2;
    let last = Progress {
        files: 2,
        files_total: 2,
        bytes: total,
        bytes_total: total,
        documents_in: 2,
        documents_kept: 2,
    };
    assert_eq!(told[1], last);

    let mut stop_at_once = |_| stop.store(true, Ordering::Relaxed);
    let stopped = gather(&recipe(folder.path()), &guard(), &mut stop_at_once, &stop);
    assert!(matches!(stopped, Err(CorpusError::Stopped)));
}

#[test]
fn sources_read_the_same_wherever_the_recipe_lies() {
    let folder = folder(&[("docs/a.md", prose(1).as_bytes())]);
    let recipe = CorpusRecipe {
        folder: folder.path().to_path_buf(),
        held_out_percent: 0,
        ..CorpusRecipe::new(vec!["docs".into(), "docs/a.md".into()])
    };
    let corpus = run(&recipe).unwrap();
    assert_eq!(corpus.documents[0].path, "docs/a.md");
    assert_eq!(because(&corpus, Reason::Duplicate), "has the same words as `docs/a.md`");
}
