//! Customs procedures: their codes, and how long they take.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const CUSTOMS: Category = Category {
    folder: "customs",
    overview: "Customs procedures in brief",
    noun: "Customs procedure",
    article: "",
    proper: false,
    facts: [
        FactText {
            label: "Document code",
            kind: Kind::DocumentCode,
            stated: &[
                "In our files it has the document code {v}.",
                "The document code {v} stands on the cover sheet of {s}.",
                "Papers for {s} are filed under document code {v}.",
                "Use document code {v} in TariffWise.",
            ],
            asked: &[
                "What code goes on the cover sheet for {s}?",
                "I'm filing papers about {s}. Under what document code?",
                "Which document code belongs to {s}?",
                "In TariffWise, what's the code of {s}?",
                "How is {s} coded in our files?",
                "What do I enter as document code if it is {s}?",
            ],
        },
        FactText {
            label: "Processing time",
            kind: Kind::WorkingDays,
            stated: &[
                "The processing time is {v} when all papers are there.",
                "Allow {v} for {s}.",
                "{s} takes {v} from the complete file to the release.",
                "Our brokers need {v} for {s}.",
            ],
            asked: &[
                "How many working days should I plan for {s}?",
                "When will {s} be through, counted in days?",
                "How long do we have to wait for {s}?",
                "What processing time can I promise a customer for {s}?",
                "How long do the brokers need with {s}?",
                "How many days until {s} is finished?",
            ],
        },
    ],
    headings: ["When it applies", "Papers", "Working with the authority"],
    topics: [
        &[
            "It concerns goods that cross the outer border of the union.",
            "The broker decides together with the customer whether it is the right way.",
            "A wrong choice costs duty, time and good will.",
            "Goods below the small value threshold follow a shorter path.",
            "Some countries ask for a certificate of origin in addition.",
            "The procedure may be combined with storage at {site}.",
        ],
        &[
            "An invoice, a packing list and the tariff number are always needed.",
            "Descriptions must say what the goods are; \"parts\" or \"samples\" is not enough.",
            "Weights on the papers and on the scale may differ by one per cent at most.",
            "Originals are kept in the fire-proof cabinet.",
            "Translations are made in house for six languages.",
            "If a paper is missing, {dept} asks for it and can be called on extension {ext}.",
        ],
        &[
            "Officers may open every box, and our staff help them politely.",
            "Answers to the authority are given in writing and by brokers alone.",
            "Seals are broken only in the presence of an officer.",
            "Duty is paid from the deferred account in the middle of the month.",
            "Corrections are possible after the release, but they draw attention.",
            "Every objection to an assessment is first discussed with the Legal Office.",
        ],
    ],
    items: &[
        item("Import for free circulation", "It is the ordinary way for goods that stay in the union."),
        item(
            "Standard export",
            "Goods leave the union for good, and the exit is confirmed by the last office.",
        ),
        item("Transit under seal", "Goods cross several countries without duty and under a seal."),
        item("Inward processing", "Raw goods enter, are worked upon and leave again."),
        item("Outward processing", "Goods are sent abroad for repair and come back improved."),
        item("Temporary admission", "Exhibits and tools enter for a while and leave unchanged."),
        item("Bonded storage", "Goods rest in a closed store, and duty is paid when they are taken out."),
        item("Returned goods relief", "What was exported and comes back within three years is free of duty."),
        item("Binding tariff ruling", "The authority states in advance which number is right."),
        item("Veterinary entry check", "Food from animals is looked at by a vet before it may enter."),
    ],
};
