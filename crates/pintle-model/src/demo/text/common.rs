//! Sentences that fit any page with facts: remarks, habits and small stories.

/// Headings under which the remarks stand.
pub(in crate::demo) const REMARK_HEADINGS: &[&str] = &[
    "Remarks",
    "Experience so far",
    "From the editors",
    "Questions and answers",
    "In practice",
    "A few words more",
];

/// The remarks, from which a page takes some in this order.
pub(in crate::demo) const REMARKS: &[&str] = &[
    "This page was rewritten after a survey in which many people said that the old one was too long.",
    "The wording has been agreed with the works council and is the same at all sites.",
    "A short film of two minutes in the intranet tells the same story without words.",
    "Newcomers often ask why it was not done differently, and the honest answer is that we tried.",
    "In the first year there were a dozen complaints about it, in the second year there were two.",
    "A driver from the night shift proposed the present arrangement, and it has worked well since.",
    "Some teams keep a printed copy; please check the date on it before you rely on it.",
    "During the holidays answers may take a little longer than usual.",
    "The same question comes up every winter, which is why the answer stands here in full.",
    "Colleagues abroad follow the page in their own language, and the English one decides in case of doubt.",
    "If you read this on a handheld, turn it sideways to see the whole table.",
    "Exceptions have been granted three times so far, and each is noted with its reason.",
    "Nothing here replaces common sense, and nobody will be blamed for asking first.",
    "The figures were last compared with the books in autumn and were found to be right.",
    "Friendly words cost nothing, and this holds for messages to busy people as well.",
    "When the large storm closed the harbour, these lines helped forty people to keep calm.",
    "An earlier version spoke of paper lists, which have since gone to the museum.",
    "Our partners have read the page too and have asked for no change.",
    "Abbreviations are avoided here on purpose; the glossary explains the terms of the trade.",
    "Half of all questions to the editors are answered by the table above.",
    "A customer once praised how quickly a stranger on the telephone could answer; the stranger had read this page.",
    "Please do not keep private lists beside this page, because two lists never stay the same.",
    "Small changes are made at once, larger ones are announced two weeks ahead.",
    "Apprentices check in spring whether every name and number is still right.",
    "In the yearly review the page received four stars out of five.",
    "Stories and pictures that show how it is done well are collected by the editors.",
    "Where the law asks for more than this page, the law comes first.",
    "The page is open to everyone in the company and holds nothing confidential.",
    "Once a colleague has explained it to another, both know it better than before.",
    "What is written here also holds for people who work with us for a few weeks only.",
    "If you are new and something remains unclear, ask your mentor, who was new once, too.",
    "A shorter text was tried and led to more telephone calls, so the longer one came back.",
    "Older rules on the same matter ended on the day on which this page appeared.",
    "The editors thank all who have sent corrections, from a missing comma to a wrong floor.",
];
