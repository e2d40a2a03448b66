//! How people ask: the frames of questions, and small tables of other words for common attributes.
//!
//! `{a}` stands for the attribute, `{s}` for the subject. Neighbours: `facts` finds what is asked about,
//! `mod` fills the frames.

/// Frames that fit any attribute of any subject: full questions, requests, notes, and bare keywords.
pub(crate) const FACT: &[&str] = &[
    "What is the {a} of {s}?",
    "What is the {a} for {s}?",
    "What's the {a} of {s}?",
    "{s}: {a}?",
    "{s} {a}",
    "{a} {s}",
    "{a} for {s}?",
    "Can you tell me the {a} for {s}?",
    "Please tell me the {a} of {s}.",
    "I need the {a} for {s}.",
    "Do you know the {a} of {s}?",
    "For {s}, what is the {a}?",
    "Which {a} does {s} have?",
    "Which {a} applies to {s}?",
    "Could you look up the {a} of {s}, please?",
    "What {a} is given for {s}?",
    "Tell me the {a} for {s}",
    "Looking for the {a} of {s}",
    "What do the documents say about the {a} of {s}?",
    "Quick question: {a} of {s}?",
    "Where {s} is concerned, what is the {a}?",
    "I am working on {s}. What is the {a}?",
    "A colleague asks about {s}: what is the {a}?",
    "Give me the {a} of {s}",
    "Remind me of the {a} for {s}.",
    "How do I find out the {a} of {s}?",
    "About {s}: I would like to know the {a}.",
    "Hello, what is the {a} for {s}, please?",
];

/// Frames for a value that is a number and its unit, which stands in `{a}`: "12 months", "80 euros".
pub(crate) const UNIT: &[&str] = &[
    "How many {a} for {s}?",
    "How many {a} is it for {s}?",
    "{s}: how many {a}?",
    "How many {a} are set for {s}?",
    "how many {a} {s}",
    "I forgot how many {a} it was for {s}.",
];

/// What people say before they ask. It changes nothing about the question, and a model must learn that.
pub(crate) const LEADS: &[&str] = &[
    "A customer is on the line. ",
    "I am new here. ",
    "It is urgent: ",
    "For my notes: ",
    "Somebody at my desk asks: ",
    "Sorry to bother you. ",
    "Before I forget: ",
    "I could not find it in the documents. ",
    "We talked about this yesterday. ",
    "Good morning! ",
];

/// Frames for an attribute that is no noun, such as "applies to".
pub(crate) const LOOSE: &[&str] = &[
    "{s}: {a}?",
    "{s}, {a}?",
    "{s} {a}",
    "{a}: {s}?",
    "For {s}: {a}?",
    "About {s}: {a}?",
    "What is stated for {s} under \"{a}\"?",
    "What do the documents say about {s}, \"{a}\"?",
    "{s}: what is written under \"{a}\"?",
    "Please look up \"{a}\" for {s}.",
];

/// Another set of words for an attribute whose name holds one of the keys.
pub(crate) struct Synonyms {
    /// Words or phrases, lower case, one of which must stand in the attribute as whole words.
    pub(crate) keys: &'static [&'static str],
    /// Nouns that may stand for the attribute in a generic frame.
    pub(crate) nouns: &'static [&'static str],
    /// Questions that ask for it without its name.
    pub(crate) asks: &'static [&'static str],
}

/// The first entry whose key matches is taken, so narrow keys stand before wide ones.
pub(crate) const SYNONYMS: &[Synonyms] = &[
    Synonyms {
        keys: &["account manager", "contact", "contact person", "contacts"],
        nouns: &["contact person", "contact", "point of contact"],
        asks: &[
            "Who looks after {s}?",
            "Who is the contact for {s}?",
            "Whom do I contact about {s}?",
            "Who handles {s}?",
            "Who is in touch with {s}?",
        ],
    },
    Synonyms {
        keys: &["approver", "approval", "approved by", "approves", "authorised by", "sign-off"],
        nouns: &["approver", "approval", "sign-off"],
        asks: &[
            "Who approves {s}?",
            "Who has to approve {s}?",
            "Who signs off {s}?",
            "Whose approval do I need for {s}?",
            "Who can authorise {s}?",
            "who must agree to {s}",
        ],
    },
    Synonyms {
        keys: &["owner", "owned by", "product owner", "system owner"],
        nouns: &["owner", "responsible person"],
        asks: &[
            "Who owns {s}?",
            "Who is responsible for {s}?",
            "Whom does {s} belong to?",
            "Who takes care of {s}?",
            "who is the owner of {s}",
        ],
    },
    Synonyms {
        keys: &["trainer", "instructor", "teacher", "taught by"],
        nouns: &["trainer", "instructor", "teacher"],
        asks: &[
            "Who teaches {s}?",
            "Who gives {s}?",
            "Who trains people in {s}?",
            "Who leads the course {s}?",
            "by whom is {s} taught",
        ],
    },
    Synonyms {
        keys: &["insurer", "insurance company", "underwriter", "insured with"],
        nouns: &["insurer", "insurance company", "underwriter"],
        asks: &[
            "Who insures {s}?",
            "With which company is {s} insured?",
            "Which company insures {s}?",
            "Who covers {s}?",
        ],
    },
    Synonyms {
        keys: &["supplier", "vendor", "provider", "manufacturer"],
        nouns: &["supplier", "vendor", "provider"],
        asks: &["Who supplies {s}?", "Where do we buy {s}?", "Which company provides {s}?"],
    },
    Synonyms {
        keys: &[
            "head",
            "lead",
            "leader",
            "led by",
            "manager",
            "director",
            "chair",
            "supervisor",
            "site manager",
        ],
        nouns: &["head", "manager", "lead", "person in charge"],
        asks: &[
            "Who leads {s}?",
            "Who runs {s}?",
            "Who is in charge of {s}?",
            "Who is responsible for {s}?",
            "Who manages {s}?",
            "Who heads {s}?",
            "who is the boss of {s}",
        ],
    },
    Synonyms {
        keys: &["responsible", "responsible person", "responsible role", "in charge", "accountable"],
        nouns: &["responsible person", "person in charge"],
        asks: &[
            "Who is responsible for {s}?",
            "Who is in charge of {s}?",
            "Who takes care of {s}?",
            "Who does {s}?",
            "Who carries out {s}?",
            "whose job is {s}",
        ],
    },
    Synonyms {
        keys: &["extension", "phone", "telephone", "mobile", "hotline"],
        nouns: &["phone number", "extension", "telephone number", "number to call"],
        asks: &[
            "How do I call {s}?",
            "What number do I dial for {s}?",
            "How can I reach {s} by phone?",
            "Which number reaches {s}?",
            "call {s}",
        ],
    },
    Synonyms {
        keys: &["email", "e-mail", "mail", "mailbox"],
        nouns: &["mail address", "e-mail", "mailbox"],
        asks: &["Where do I write to {s}?", "How can I mail {s}?", "Which mailbox does {s} read?"],
    },
    Synonyms {
        keys: &["support hours", "service hours", "support time", "support times"],
        nouns: &["support hours", "service hours", "support times"],
        asks: &[
            "When is there support for {s}?",
            "When can I get help with {s}?",
            "At what times is {s} supported?",
            "from when to when is there help for {s}",
        ],
    },
    Synonyms {
        keys: &["opening hours", "opening times", "office hours", "hours", "open"],
        nouns: &["opening hours", "opening times", "hours"],
        asks: &[
            "When is {s} open?",
            "When does {s} open and close?",
            "At what times is {s} open?",
            "from when to when is {s} open",
            "Is {s} open in the evening? When does it close?",
        ],
    },
    Synonyms {
        keys: &["cut-off time", "cut-off", "cutoff", "last order", "order by"],
        nouns: &["cut-off time", "cut-off", "latest booking time"],
        asks: &[
            "Until when can I book {s}?",
            "By what time must {s} be booked?",
            "How late can {s} be ordered?",
            "until when do you accept {s}",
        ],
    },
    Synonyms {
        keys: &["validity", "valid for", "valid until", "expires", "expiry"],
        nouns: &["validity", "validity period", "expiry"],
        asks: &[
            "How long is {s} valid?",
            "When does {s} expire?",
            "After what time must {s} be renewed?",
            "how long does {s} last",
        ],
    },
    Synonyms {
        keys: &["retention", "retention period", "kept for", "keep for"],
        nouns: &["retention period", "retention", "storage period"],
        asks: &[
            "How long do we keep {s}?",
            "How long must {s} be kept?",
            "When may {s} be destroyed?",
            "For how long are {s} stored?",
        ],
    },
    Synonyms {
        keys: &["processing time", "lead time", "turnaround", "duration", "transit time", "waiting time"],
        nouns: &["processing time", "duration", "turnaround"],
        asks: &[
            "How long does {s} take?",
            "How much time does {s} need?",
            "How many days does {s} take?",
            "how long for {s}",
        ],
    },
    Synonyms {
        keys: &["payment term", "payment terms", "terms of payment", "payment"],
        nouns: &["payment term", "payment terms", "payment period"],
        asks: &[
            "When do invoices of {s} have to be paid?",
            "Within what time do we pay {s}?",
            "How fast must {s} be paid?",
            "how many days to pay {s}",
        ],
    },
    Synonyms {
        keys: &["deadline", "due", "due date", "time limit", "due within", "submit by"],
        nouns: &["deadline", "time limit", "due date"],
        asks: &[
            "By when must {s} be done?",
            "When is {s} due?",
            "How much time do I have for {s}?",
            "Within what time must {s} be finished?",
            "by when {s}",
        ],
    },
    Synonyms {
        keys: &["inspection interval", "interval", "frequency", "how often", "review cycle"],
        nouns: &["inspection interval", "interval", "frequency"],
        asks: &[
            "How often is {s} inspected?",
            "How often must {s} be checked?",
            "When is {s} checked again?",
            "After what time is {s} due for inspection?",
        ],
    },
    Synonyms {
        keys: &["deductible", "excess", "own share"],
        nouns: &["deductible", "excess", "own share"],
        asks: &[
            "How much do we pay ourselves under {s}?",
            "What part of a claim do we bear with {s}?",
            "How high is the excess of {s}?",
        ],
    },
    Synonyms {
        keys: &["price", "cost", "fee", "rate", "charge", "tariff"],
        nouns: &["price", "cost", "charge", "rate"],
        asks: &[
            "How much is {s}?",
            "What does {s} cost?",
            "How much does {s} cost?",
            "How much do we charge for {s}?",
            "how expensive is {s}",
        ],
    },
    Synonyms {
        keys: &["limit", "maximum", "max", "ceiling", "cap", "allowance", "budget"],
        nouns: &["limit", "maximum", "upper limit", "ceiling"],
        asks: &[
            "How much may I spend on {s}?",
            "How much is allowed for {s}?",
            "Up to what amount is {s} allowed?",
            "What is the most for {s}?",
            "how much for {s}",
        ],
    },
    Synonyms {
        keys: &["payload", "load", "capacity load", "carrying capacity", "weight"],
        nouns: &["payload", "load capacity", "maximum load"],
        asks: &[
            "How much can {s} carry?",
            "What weight may {s} carry?",
            "How heavy a load does {s} take?",
            "how much weight for {s}",
        ],
    },
    Synonyms {
        keys: &["capacity", "seats", "places"],
        nouns: &["capacity", "number of seats", "size"],
        asks: &[
            "How many people fit into {s}?",
            "How many seats are there in {s}?",
            "How big is {s}?",
            "for how many people is {s}",
        ],
    },
    Synonyms {
        keys: &["floor", "storey", "level"],
        nouns: &["floor", "storey"],
        asks: &["On which floor is {s}?", "What floor is {s} on?", "Where is {s}?", "where do I find {s}"],
    },
    Synonyms {
        keys: &["form number", "form", "number"],
        nouns: &["form number", "number of the form", "form code"],
        asks: &["Which form do I need for {s}?", "Which form is {s}?", "Under what number is {s} filed?"],
    },
    Synonyms {
        keys: &["document code", "code", "reference", "identifier", "id"],
        nouns: &["code", "document code", "reference"],
        asks: &[
            "Which code stands for {s}?",
            "Which code do I enter for {s}?",
            "Under what code is {s} declared?",
        ],
    },
    Synonyms {
        keys: &["storage place", "location", "address", "place", "room", "where", "site"],
        nouns: &["place", "location"],
        asks: &[
            "Where is {s}?",
            "Where do I find {s}?",
            "Where are {s} kept?",
            "In which place are {s}?",
            "where to look for {s}",
        ],
    },
    Synonyms {
        keys: &["date", "start", "starts", "begins", "when"],
        nouns: &["date"],
        asks: &["When is {s}?", "On what date is {s}?"],
    },
];

/// Frames for "what are its steps", in order.
pub(crate) const STEPS: &[&str] = &[
    "What are the steps of {s}?",
    "How does {s} work?",
    "{s} steps",
    "List the steps of {s}.",
    "What do I have to do for {s}?",
    "How do I go about {s}?",
];

/// Frames for the first step.
pub(crate) const FIRST_STEP: &[&str] = &[
    "What is the first step of {s}?",
    "How does {s} start?",
    "What do I do first for {s}?",
    "{s}: first step?",
];

/// Frames for the step after another, which stands in `{a}`.
pub(crate) const NEXT_STEP: &[&str] =
    &["What comes after \"{a}\" in {s}?", "In {s}, what is the step after \"{a}\"?", "{s}: after \"{a}\"?"];

/// Frames for the items of a list.
pub(crate) const ITEMS: &[&str] = &[
    "What does the list of {s} say?",
    "What belongs to {s}?",
    "Which points are listed for {s}?",
    "{s} list",
    "List the points of {s}.",
];

/// Frames for a definition.
pub(crate) const DEFINITION: &[&str] = &[
    "What is {s}?",
    "What does {s} mean?",
    "Explain {s}.",
    "define {s}",
    "What do we mean by {s}?",
    "{s} meaning",
    "Can you explain {s}?",
    "I don't know the term {s}. What is it?",
];

/// Headings that name a part of every document, not a subject: the subject is then the document's title.
pub(crate) const PLAIN_HEADINGS: &[&str] = &[
    "at a glance",
    "background",
    "contact",
    "contacts",
    "data",
    "details",
    "facts",
    "facts and figures",
    "general",
    "how it works",
    "how to",
    "in brief",
    "information",
    "introduction",
    "key data",
    "key facts",
    "key points",
    "notes",
    "overview",
    "procedure",
    "process",
    "purpose",
    "quick facts",
    "scope",
    "steps",
    "summary",
    "the essentials",
    "the facts",
    "what to do",
];

/// Headers of a second column that says only "here is the value": the first column then holds attributes.
pub(crate) const VALUE_HEADERS: &[&str] = &[
    "",
    "answer",
    "content",
    "description",
    "detail",
    "details",
    "entry",
    "explanation",
    "fact",
    "info",
    "information",
    "meaning",
    "rule",
    "setting",
    "value",
    "values",
    "what applies",
];

/// Keys of `Key: value` lines that mark a remark and no attribute.
pub(crate) const REMARKS: &[&str] = &[
    "attention",
    "caution",
    "danger",
    "e.g",
    "example",
    "hint",
    "important",
    "note",
    "notes",
    "ps",
    "remember",
    "see",
    "see also",
    "source",
    "tip",
    "todo",
    "warning",
];
