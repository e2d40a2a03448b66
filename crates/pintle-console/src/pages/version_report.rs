//! What the reports of a version say: the gate as a checklist, bits per byte beside simpler ways to guess,
//! questions, leaks, contamination, and what became of the documents.

use maud::{Markup, html};

use super::{
    figures::{self, Bar},
    icons, parts, view, words,
};
use crate::{
    ContaminationView, CorpusView, EvaluationView, GeneralView, HeldOutView, LeaksView, QuestionsView,
    ScoresView, SharedView, VersionView,
};

/// So many of the contaminated items and of the documents that left are named.
const LISTED: usize = 10;

/// What the recipe asked for, line by line.
pub(crate) fn gate(version: &VersionView) -> Markup {
    let criteria = version.evaluation.as_ref().map_or(&[][..], |evaluation| &evaluation.criteria);
    html! {
        section.card aria-labelledby="gate" {
            h2 id="gate" { "The gate" }
            @if criteria.is_empty() {
                p.careful-text { (icons::warn()) " What it was measured by cannot be read." }
            } @else {
                p.muted { "What the recipe asks for before a version may serve." }
                ul.points.checklist {
                    @for criterion in criteria {
                        li class=(if criterion.passed { "passed" } else { "failed" }) {
                            @if criterion.passed { (icons::ok()) } @else { (icons::cross()) }
                            span { span.sr { @if criterion.passed { "Passed: " } @else { "Failed: " } }
                                (view::code_in(&criterion.sentence)) div.sub { code { (criterion.name) } } }
                        }
                    }
                }
            }
        }
    }
}

/// The evaluation's sections.
pub(crate) fn evaluation(version: &VersionView, evaluation: &EvaluationView) -> Markup {
    html! {
        div.columns {
            (held_out(&evaluation.held_out))
            (scores(evaluation.questions.as_ref()))
        }
        @if let Some(questions) = &evaluation.questions { (answers(questions)) }
        div.columns {
            (leaks(version, &evaluation.leaks))
            (contamination(&evaluation.contamination, evaluation.questions.as_ref()))
        }
        (general(&evaluation.general))
    }
}

fn held_out(report: &HeldOutView) -> Markup {
    let bar = |name, note: &str, value, is_subject| Bar { name, note: note.to_owned(), value, is_subject };
    let mut bars = vec![bar("This version", "as it would serve", report.model_bits_per_byte, true)];
    if let Some(base) = report.base_bits_per_byte {
        bars.push(bar("Base", "the same model before it learnt to answer", base, true));
    }
    let ngram = format!("counts runs of up to {} bytes in the training text", report.ngram_order);
    bars.push(bar("N-gram", &ngram, report.ngram_bits_per_byte, false));
    let xz = "the compressor xz, after the training text";
    bars.push(bar("xz, informed", xz, report.xz_given_training_bits_per_byte, false));
    bars.push(bar("xz", "the compressor xz, on this text alone", report.xz_alone_bits_per_byte, false));
    bars.push(bar("Unigram", "each byte by how often it occurs", report.unigram_bits_per_byte, false));
    html! {
        section.card aria-labelledby="held-out" {
            h2 id="held-out" { "How well it guesses text it has not seen" }
            p.muted { "Bits per byte of " (view::count_u64(report.documents as u64)) " held-out documents"
                ", " (figures::size(report.bytes)) ". Less is better; a model that is no better than counting has learnt \
                little." }
            (figures::bars(&bars))
        }
    }
}

fn scores(questions: Option<&QuestionsView>) -> Markup {
    html! {
        section.card aria-labelledby="questions" {
            h2 id="questions" { "Questions that were kept from it" }
            @match questions {
                None => p.muted { "None was asked: the recipe names no file of questions." },
                Some(questions) => {
                    p.muted { (view::count_u64(questions.asked as u64)) " of " (view::count_u64(questions.given as u64))
                        " held-out questions were asked. The thin line is the 95% interval: with so few questions, the true \
                        share may lie anywhere in it." }
                    h3 { "Right" }
                    (pair(questions, |scores| &scores.correct))
                    h3 { "Right to the letter" }
                    (pair(questions, |scores| &scores.exact_match))
                    p {
                        "Words shared with the expected answer (token-F1): "
                        strong { (figures::bits(questions.model.token_f1)) }
                        @if let Some(base) = &questions.base { "; base " (figures::bits(base.token_f1)) }
                        "."
                    }
                    @if let (Some(gained), Some(lost)) = (questions.gained, questions.lost) {
                        p { "Learning to answer gained " (gained) " right answers and lost " (lost) "." }
                    }
                },
            }
        }
    }
}

fn pair(questions: &QuestionsView, of: fn(&ScoresView) -> &crate::ShareView) -> Markup {
    html! {
        ul.measures {
            (figures::share_bar("This version", of(&questions.model), true))
            @if let Some(base) = &questions.base { (figures::share_bar("Base", of(base), false)) }
        }
    }
}

/// By kind, and the worst answers one by one: what to read before trusting the rest.
fn answers(questions: &QuestionsView) -> Markup {
    html! {
        section.card aria-labelledby="answers" {
            h2 id="answers" { "Where it is right, and where not" }
            @if !questions.kinds.is_empty() {
                div.table-wrap tabindex="0" role="region" aria-label="Table of kinds of questions" {
                    table.cards.tight {
                        caption.sr { "Right answers by kind of question" }
                        thead { tr {
                            th scope="col" { "Kind" } th.num scope="col" { "This version" }
                            th.num scope="col" { "Base" } th.num scope="col" { "Questions" }
                        } }
                        tbody {
                            @for kind in &questions.kinds {
                                tr {
                                    th scope="row" { (words::capital(&kind.kind.replace('_', " "))) }
                                    td.num data-label="This version" { (figures::percent(kind.model.correct.share)) }
                                    td.num data-label="Base" {
                                        @match &kind.base {
                                            Some(base) => (figures::percent(base.correct.share)),
                                            None => "–",
                                        }
                                    }
                                    td.num data-label="Questions" { (view::count_u64(kind.model.correct.total as u64)) }
                                }
                            }
                        }
                    }
                }
            }
            @if !questions.worst.is_empty() {
                details id="worst" {
                    summary { "Its " (questions.worst.len()) " worst answers" }
                    ol.worst {
                        @for worst in &questions.worst {
                            li {
                                h3 { (worst.question) }
                                dl.facts.compact {
                                    div { dt { "Expected" } dd { (worst.expected) } }
                                    div { dt { "Its answer" } dd { (worst.answer) } }
                                    div { dt { "Counts as" } dd {
                                        @if worst.correct { "right" } @else { "wrong" }
                                        span.sub {
                                            " · question " (worst.number) ", shared words " (figures::bits(worst.token_f1))
                                        }
                                    } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn leaks(version: &VersionView, leaks: &LeaksView) -> Markup {
    let above: u64 = leaks.findings.iter().filter(|it| it.class > version.class).map(|it| it.findings).sum();
    html! {
        section.card aria-labelledby="leaks" {
            h2 id="leaks" { "Does it give things away?" }
            p.verdict {
                @if above == 0 { (parts::tone_chip("good", "Nothing above its class")) }
                @else { (parts::tone_chip("bad", &format!("{above} findings above its class"))) }
            }
            p { (view::count_u64(leaks.samples as u64)) " answers were sampled and scanned: " (leaks.from_documents)
                " that go on from an empty page, " (leaks.from_questions) " to held-out questions, " (leaks.from_probes)
                " to questions that ask for secrets." }
            @if leaks.findings.is_empty() {
                p { "The guard found nothing in them." }
            } @else {
                div.table-wrap tabindex="0" role="region" aria-label="Table of findings" {
                    table.cards.tight {
                        caption.sr { "What the guard found in sampled answers" }
                        thead { tr { th scope="col" { "Found" } th scope="col" { "Class" }
                            th.num scope="col" { "Times" } th.num scope="col" { "From its texts" } } }
                        tbody {
                            @for it in &leaks.findings {
                                tr {
                                    th scope="row" { (words::capital(&words::kind(&it.kind))) }
                                    td data-label="Class" { (parts::class_chip(it.class)) }
                                    td.num data-label="Times" { (it.findings) }
                                    td.num data-label="From its texts" { (it.in_training_text) }
                                }
                            }
                        }
                    }
                }
                p.note { "What is not from its texts, the model made up." }
            }
            p { (figures::percent(leaks.verbatim.share)) " of the samples recite " (leaks.verbatim_chars_min)
                " characters or more of the training text; the longest run has " (leaks.longest_shared_chars)
                ", half of the samples share at most " (leaks.median_shared_chars) "." }
        }
    }
}

fn contamination(report: &ContaminationView, questions: Option<&QuestionsView>) -> Markup {
    html! {
        section.card aria-labelledby="contamination" {
            h2 id="contamination" { "Was it examined on what it had read?" }
            (side("documents", &report.documents))
            (side("questions", &report.questions))
            @if let Some(questions) = questions.filter(|_| report.questions.exact + report.questions.near > 0) {
                p { "Without those questions: " (figures::percent(questions.correct_without_contaminated.share)) " right ("
                    (figures::interval(&questions.correct_without_contaminated)) ")." }
            }
        }
    }
}

fn side(what: &str, side: &SharedView) -> Markup {
    let shared = side.exact + side.near;
    html! {
        @if side.items == 0 {
            p.muted { "No held-out " (what) " were compared." }
        } @else {
            p { strong { (shared) " of " (view::count_u64(side.items as u64)) " held-out " (what) }
                " stand in the training text too (" (figures::percent(side.share)) "): " (side.exact) " word for word, "
                (side.near) " nearly. " (side.with_any_shared_run) " share a run of 13 words." }
            @if !side.listed.is_empty() {
                details id={ "shared-" (what) } {
                    summary { "Which " (what) }
                    ul.listed {
                        @for it in side.listed.iter().take(LISTED) {
                            li { code { (it.item) } " · " (it.how) ", " (figures::percent(it.shared_share)) " shared with "
                                code { (it.with) } }
                        }
                    }
                    @if side.listed.len() > LISTED { p.muted { "The first " (LISTED) " of " (shared) "." } }
                }
            }
        }
    }
}

fn general(report: &GeneralView) -> Markup {
    html! {
        section.card aria-labelledby="general" {
            h2 id="general" { "Did tuning harm what it knew of language?" }
            p {
                "On " (report.texts) " general texts (" (figures::size(report.bytes)) ") it needs "
                (figures::bits(report.model_bits_per_byte)) " bits per byte"
                @match (report.base_bits_per_byte, report.worsening_bits_per_byte) {
                    (Some(base), Some(worse)) => {
                        ", the base " (figures::bits(base)) ": a change of " strong { (format!("{worse:+.3}")) }
                        @if let Some(error) = report.worsening_standard_error {
                            " (standard error " (figures::bits(error)) ")"
                        }
                        ". Above zero is worse; the set is tiny, so small changes mean nothing."
                    },
                    _ => ". It was not tuned, so there is nothing to compare it with.",
                }
            }
        }
    }
}

/// What came in, what left and why, and what the guard found.
pub(crate) fn corpus(corpus: Option<&CorpusView>) -> Markup {
    let Some(corpus) = corpus else {
        return html! { section.card { h2 { "Documents" }
        p.careful-text { (icons::warn()) " The report of its documents cannot be read." } } };
    };
    html! {
        section.card aria-labelledby="corpus" {
            h2 id="corpus" { "Documents" }
            dl.facts.compact {
                (fact("Came in", corpus.documents_in))
                (fact("Kept", corpus.documents_kept))
                (fact("Of them held out", corpus.documents_held_out))
                (fact("Words", corpus.words))
                div { dt { "Size" } dd { (figures::size(corpus.bytes)) } }
                div { dt { "Accepted up to" } dd { (parts::class_chip(corpus.accepts)) } }
                div { dt { "Class of what was kept" } dd { (parts::class_chip(corpus.class)) } }
            }
            @if corpus.hidden + corpus.excluded > 0 {
                p.note { "Not counted: " (view::count_u64(corpus.hidden)) " hidden files and folders, "
                    (view::count_u64(corpus.excluded)) " files that the recipe leaves out." }
            }
            div.columns.reports {
                div { h3 { "Left, and why" } (left(corpus)) }
                div { h3 { "What the guard found" } (findings(corpus)) }
            }
            details id="corpus-hash" {
                summary { "The hash of what was kept" }
                p { code { (corpus.hash) } }
            }
        }
    }
}

fn fact(name: &str, n: u64) -> Markup {
    html! { div { dt { (name) } dd.num { (view::count_u64(n)) } } }
}

fn left(corpus: &CorpusView) -> Markup {
    html! {
        @if corpus.left.is_empty() { p.muted { "None left." } }
        ul.reasons {
            @for group in &corpus.left {
                li { span { (words::capital(&group.reason)) } span.num { (view::count_u64(group.documents)) } }
            }
        }
        @if corpus.left.iter().any(|group| !group.listed.is_empty()) {
            details id="left" {
                summary { "Which documents" }
                ul.listed {
                    @for group in &corpus.left {
                        @for it in group.listed.iter().take(LISTED) {
                            li {
                                code { (it.path) @if let Some(line) = it.line { ":" (line) } }
                                " " (view::code_in(&it.because))
                            }
                        }
                        @if group.documents > group.listed.len().min(LISTED) as u64 {
                            li.muted { "and " (view::count_u64(group.documents - group.listed.len().min(LISTED) as u64))
                                " more: " (group.reason) }
                        }
                    }
                }
            }
        }
    }
}

fn findings(corpus: &CorpusView) -> Markup {
    html! {
        @if corpus.findings.is_empty() {
            p.muted { "Nothing." }
        } @else {
            table.tight {
                caption.sr { "Values that the guard found in the documents" }
                thead { tr { th scope="col" { "Type" } th.num scope="col" { "Found" } th.num scope="col" { "Masked" }
                    th.num scope="col" { "Learnt" } } }
                tbody {
                    @for (kind, found) in &corpus.findings {
                        tr {
                            th scope="row" { (words::capital(&words::kind(kind))) }
                            td.num { (view::count_u64(*found)) }
                            td.num { (view::count_u64(corpus.masked.get(kind).copied().unwrap_or_default())) }
                            td.num { (view::count_u64(corpus.findings_kept.get(kind).copied().unwrap_or_default())) }
                        }
                    }
                }
            }
        }
        @if !corpus.classes_found.is_empty() {
            p.note {
                "By class, as they came: "
                @for (index, (class, n)) in corpus.classes_found.iter().enumerate() {
                    @if index > 0 { ", " } (view::count_u64(*n)) " " (words::class(*class).to_lowercase())
                }
                ". As they were kept: "
                @for (index, (class, n)) in corpus.classes_kept.iter().enumerate() {
                    @if index > 0 { ", " } (view::count_u64(*n)) " " (words::class(*class).to_lowercase())
                }
                "."
            }
        }
    }
}
