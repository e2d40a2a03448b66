//! Departments: who leads them, and their telephone extensions.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const DEPARTMENTS: Category = Category {
    folder: "departments",
    overview: "All departments",
    noun: "Department",
    article: "the ",
    proper: true,
    facts: [
        FactText {
            label: "Head",
            kind: Kind::Person,
            stated: &[
                "{s} is led by {v}, who also speaks for it in the monthly round.",
                "{v} has been head of {s} since the last reorganisation.",
                "The head of {s} is {v}; the door is open for questions of any size.",
                "Since spring {v} leads {s} and signs its rota.",
                "{v} leads {s} and plans its budget.",
            ],
            asked: &[
                "Who is at the top of {s} these days?",
                "If I want to complain about {s}, which manager do I turn to?",
                "Who do the people in {s} report to?",
                "I have a meeting with the head of {s} tomorrow. What is the name?",
                "Which person leads {s} at the moment?",
                "Could somebody say who heads up {s}?",
                "Name the manager who runs {s}.",
                "To whom should I address a letter for the boss of {s}?",
            ],
        },
        FactText {
            label: "Extension",
            kind: Kind::Extension,
            stated: &[
                "Dial {v} from any house telephone to reach {s}.",
                "The extension of {s} is {v}; after hours a recorded message answers.",
                "Under extension {v} somebody in {s} picks up on every working day.",
                "For anything urgent, call {s} on extension {v}.",
            ],
            asked: &[
                "I want to ring {s}. What do I dial?",
                "Which phone number do I use to get hold of {s}?",
                "What's the internal number of {s}, please?",
                "Somebody in {s} should pick up the phone. Which extension was it?",
                "Under which extension does {s} answer calls?",
                "Phoning {s}: what number?",
                "I've lost the telephone extension for {s}, what was it again?",
            ],
        },
    ],
    headings: ["What we do", "Working with us", "Good to know"],
    topics: [
        &[
            "The team prepares a short plan every Monday and reviews it on Friday.",
            "Most requests arrive by ticket, a smaller part by telephone, and very few on paper.",
            "Seven out of ten requests are closed on the day on which they arrive.",
            "New colleagues spend two weeks with a mentor before they take cases of their own.",
            "The work is split into a morning and a late shift, so that both coasts of the business are served.",
            "Once a quarter the team visits {site} to see how its decisions work in practice.",
        ],
        &[
            "Please describe what you need in one or two sentences and add the order number where there is one.",
            "If a matter cannot wait, say so in the first line and name the hour by which you need an answer.",
            "A request that touches personal data goes through the protected mailbox and never into a chat.",
            "Questions that belong elsewhere are passed on within the same day, and you are told to whom.",
            "We work closely with {dept}, which can be reached on extension {ext}.",
            "When the team is in training, a colleague from {dept} (extension {ext}) takes messages.",
        ],
        &[
            "The shared calendar shows absences two weeks ahead.",
            "Visitors report to the reception desk first and are fetched from there.",
            "Minutes of the monthly round are published in the intranet on the following day.",
            "Ideas for better ways of working are welcome and are discussed every second Thursday.",
            "The team keeps its own list of known problems and updates it after each incident.",
            "Suggestions that save money are rewarded under the ideas scheme.",
        ],
    ],
    items: &[
        item(
            "Customs Desk",
            "It clears goods that enter or leave the union, checks tariff numbers and keeps the licences that authorities ask for.",
        ),
        item(
            "Freight Planning Team",
            "It decides which load travels on which lorry, ship or train, and keeps empty runs rare.",
        ),
        item(
            "Road Dispatch Office",
            "It sends drivers on their way, follows each tour on the map and finds a way round when a motorway is closed.",
        ),
        item(
            "Ocean Freight Office",
            "It books containers with shipping lines and watches over sailing lists, bills of lading and port fees.",
        ),
        item(
            "Air Cargo Unit",
            "It handles shipments that cannot wait, from spare parts for ships to samples for laboratories.",
        ),
        item(
            "Claims Bureau",
            "It settles damage and loss, talks to insurers and tells customers what they may expect.",
        ),
        item(
            "Payroll Office",
            "It pays wages on the last working day of the month and answers every question about a payslip.",
        ),
        item(
            "Recruiting Team",
            "It finds new colleagues, runs the apprentices' day and keeps contact with schools in the region.",
        ),
        item(
            "Purchasing Department",
            "It buys what the company needs, from pallets to printer paper, and negotiates frame contracts.",
        ),
        item(
            "Treasury",
            "It watches over liquidity, pays invoices twice a week and keeps the banks informed.",
        ),
        item(
            "Internal Audit Team",
            "It checks without notice whether rules are kept and reports to the board alone.",
        ),
        item(
            "Legal Office",
            "It reads contracts, answers authorities and keeps the register of powers of attorney.",
        ),
        item(
            "Fleet Workshop",
            "It keeps lorries, trailers and forklifts safe, and repairs tyres, brakes and tail lifts in house.",
        ),
        item(
            "Cold Chain Control Room",
            "It monitors temperatures of food and medicine around the clock and raises an alarm when a probe drifts.",
        ),
        item(
            "Returns Centre",
            "It receives what customers send back, inspects it and decides on repair, resale or recycling.",
        ),
        item(
            "Customer Care Desk",
            "It answers customers by telephone, mail and chat in six languages and follows complaints to their end.",
        ),
        item(
            "Key Account Team",
            "It looks after the forty largest customers and prepares their yearly agreements.",
        ),
        item(
            "Data Protection Office",
            "It keeps the record of processing and answers people who ask what is stored about them.",
        ),
        item(
            "Facility Services Team",
            "It looks after buildings, keys, heating and the parking areas, and organises moves.",
        ),
        item(
            "Network Operations Centre",
            "It runs lines, wireless nets and scanners at all sites and is the first to hear when something is down.",
        ),
    ],
};
