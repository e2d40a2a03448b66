//! Training: who teaches a course, and how long its certificate is valid.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const TRAINING: Category = Category {
    folder: "training",
    overview: "Course catalogue",
    noun: "Course",
    article: "",
    proper: true,
    facts: [
        FactText {
            label: "Trainer",
            kind: Kind::Person,
            stated: &[
                "{s} is taught by {v}, who knows the subject from the yard.",
                "The trainer is {v}; groups have twelve places.",
                "{v} teaches {s} in German and English.",
                "For years {v} has been the trainer of {s}.",
            ],
            asked: &[
                "Who is going to teach me in {s}?",
                "Which trainer stands in front of the class in {s}?",
                "Who holds the course on {s}?",
                "With whom do I train if I sign up to {s}?",
                "What is the name of the teacher in {s}?",
                "I have a question after {s}: who was the trainer?",
                "By which colleague is {s} being taught?",
            ],
        },
        FactText {
            label: "Validity",
            kind: Kind::Months,
            stated: &[
                "The certificate has a validity of {v}.",
                "It stays valid for {v}; LearnPort sends a reminder before it runs out.",
                "After {v} {s} has to be taken again.",
                "Whoever passes {s} holds a certificate that is valid for {v}.",
            ],
            asked: &[
                "For how many months does the certificate from {s} stay valid?",
                "When do I have to repeat {s}?",
                "After how many months must I take {s} again?",
                "What is the validity of a certificate in {s}?",
                "I passed {s} today, how long is that good for?",
                "How soon does a certificate of {s} run out?",
                "How many months is {s} valid once I've passed?",
            ],
        },
    ],
    headings: ["Contents", "Taking part", "After the course"],
    topics: [
        &[
            "The first half is theory, with many pictures and short films.",
            "In the second half everybody practises, one after the other, under the trainer's eyes.",
            "Real cases from our own sites show what can go wrong.",
            "A short written test with twelve questions closes the day.",
            "Those who fail may try again in the same week.",
            "The handout has eight pages and fits into a jacket pocket.",
        ],
        &[
            "Book a place in LearnPort and tell your shift lead.",
            "The time counts as work, and travel to {site} is paid.",
            "Please bring safety shoes and something to write with.",
            "Lunch is served at half past twelve.",
            "If you cannot come, cancel two days before, so that somebody else may have the place.",
            "For courses in your own hall, ask {dept} on extension {ext}.",
        ],
        &[
            "The certificate appears in your file on the following day.",
            "A short survey asks what was useful and what was dull.",
            "Managers see who has passed, but no marks.",
            "Those who enjoy explaining may become trainers themselves.",
            "Questions that come up later are answered in the course forum.",
            "Every third year the contents are compared with the law and with our accidents.",
        ],
    ],
    items: &[
        item("Forklift Licence", "Nobody drives a forklift without having passed it."),
        item("Crane Operation", "Signals by hand and by radio are practised until they sit."),
        item("Load Securing", "Straps, mats and bars are used on a real trailer, which then brakes hard."),
        item(
            "First Aid Basics",
            "Bandages, recovery position and the defibrillator are tried on dolls and on each other.",
        ),
        item(
            "Fire Warden Course",
            "Wardens learn to clear a hall in three minutes and to use extinguishers.",
        ),
        item(
            "Dangerous Goods Awareness",
            "Labels, papers and distances for goods that burn, corrode or poison.",
        ),
        item("Eco Driving", "Looking far ahead saves diesel, brakes and nerves."),
        item("Cold Chain Handling", "Open doors, wet floors and thermometers are the daily subject."),
        item(
            "Data Protection Basics",
            "What may be noted about people, and what may not, is shown with everyday cases.",
        ),
        item("Phishing Drill", "False mails are taken apart until everyone sees the trick."),
        item("Works Council Law", "Rights and duties of those who are elected are explained by a lawyer."),
        item("Customs Declarations", "Participants fill in ten declarations, from simple to nasty."),
        item("Conflict Talks", "Listening, asking and setting limits are practised with an actor."),
        item("Ladder Safety", "It is short and saves more bones than any other course."),
        item("Winter Driving", "A wet track in the mountains shows how long a lorry slides."),
        item("Shift Lead Academy", "New shift leads learn planning, feedback and the basics of labour law."),
    ],
};
