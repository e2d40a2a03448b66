//! Insurance: with whom we are insured, and what part of a claim we bear.

use super::{Category, FactText, Kind, ranged};

pub(in crate::demo) const INSURANCE: Category = Category {
    folder: "insurance",
    overview: "All insurance policies",
    noun: "Policy",
    article: "the ",
    proper: false,
    facts: [
        FactText {
            label: "Insurer",
            kind: Kind::Insurer,
            stated: &[
                "The insurer is {v}, with whom we have worked for many years.",
                "{s} is placed with {v}.",
                "{v} insures us under {s}.",
                "Our insurer for this risk is {v}.",
            ],
            asked: &[
                "Which insurance company stands behind {s}?",
                "With whom did we take out {s}?",
                "Where is {s} insured?",
                "What is the insurer called that carries {s}?",
                "Which insurer do I call about {s}?",
                "Who is our partner for insurance when it comes to {s}?",
            ],
        },
        FactText {
            label: "Deductible",
            kind: Kind::Euros,
            stated: &[
                "Of each claim we bear a deductible of {v} ourselves.",
                "The deductible is {v} for each event.",
                "{s} has a deductible of {v}.",
                "Claims below the deductible of {v} are settled by the site.",
            ],
            asked: &[
                "How much of a claim comes out of our own pocket with {s}?",
                "What deductible did we agree on for {s}?",
                "What share of the damage do we carry in {s}?",
                "How many euros is the deductible under {s}?",
                "Before {s} pays anything, how much do we pay?",
                "From what amount on does {s} pay?",
            ],
        },
    ],
    headings: ["What is covered", "In case of a claim", "Terms"],
    topics: [
        &[
            "The policy covers all sites and, where it applies, all vehicles.",
            "Damage that was caused on purpose is never covered.",
            "War, strikes and nuclear events are excluded, as is usual.",
            "Subcontractors must show cover of their own before the first trip.",
            "Values above the sum insured are announced before the goods are loaded.",
            "Storage between two legs of a journey is included for thirty days.",
        ],
        &[
            "Take pictures before anything is moved.",
            "Admit no fault and sign nothing but the acknowledgement of receipt.",
            "Inform {dept} on extension {ext} on the same day.",
            "Keep broken parts and packaging until the surveyor has seen them.",
            "Write down the names of witnesses, with a way to reach them.",
            "The police are called whenever somebody is hurt or something was stolen.",
        ],
        &[
            "The contract runs for a calendar year and is renewed in December.",
            "Premiums follow the claims of the past three years.",
            "A broker compares offers every second year.",
            "Certificates for customers are issued within a day.",
            "Two deductibles are never taken for one event.",
            "The full wording lies in the legal folder of VaultDrive.",
        ],
    ],
    items: &[
        ranged("Cargo cover", "It pays when goods in our care are lost or damaged on the way.", 500, 2000),
        ranged(
            "Warehouse fire policy",
            "It covers buildings and stored goods against fire, lightning and explosion.",
            5000,
            15000,
        ),
        ranged("Fleet liability", "It answers for what our lorries do to others.", 300, 1200),
        ranged(
            "Vehicle hull cover",
            "It repairs our own vehicles after accidents, hail and theft.",
            700,
            2500,
        ),
        ranged(
            "Business interruption policy",
            "It replaces lost income when a hall stands still.",
            8000,
            25000,
        ),
        ranged(
            "Cyber policy",
            "It pays for experts, restored data and lost hours after an attack.",
            6000,
            20000,
        ),
        ranged("Directors' liability", "It protects those who decide in the company's name.", 4000, 12000),
        ranged(
            "Travel health plan",
            "It covers doctors and hospitals abroad for colleagues on a business trip.",
            50,
            200,
        ),
        ranged(
            "Environmental liability",
            "It pays for cleaning up when fuel or chemicals leak.",
            3000,
            10000,
        ),
        ranged("Machinery breakdown cover", "It repairs conveyors, cranes and cooling plants.", 1000, 4500),
        ranged("Fidelity bond", "It covers money that is taken by somebody who was trusted.", 1500, 5500),
        ranged("Glass cover", "It replaces windows, doors and skylights without much paper.", 100, 400),
    ],
};
