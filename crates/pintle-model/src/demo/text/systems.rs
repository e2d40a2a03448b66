//! IT systems: who owns them, and when there is support.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const SYSTEMS: Category = Category {
    folder: "it-systems",
    overview: "All IT systems",
    noun: "System",
    article: "",
    proper: true,
    facts: [
        FactText {
            label: "Owner",
            kind: Kind::Person,
            stated: &[
                "{v} owns {s} and decides on its next release.",
                "The owner of {s} is {v}, who keeps the list of wishes.",
                "{s} belongs to {v}; changes need a word with its owner first.",
                "As the owner, {v} grants access to {s}.",
            ],
            asked: &[
                "I need access to {s}. Who owns it?",
                "Who is listed as the owner behind {s}?",
                "Which person is in charge of the software {s}?",
                "Who is the one responsible for changes to {s}?",
                "Which colleague does {s} belong to?",
                "To whom do I send wishes for {s}, that is, who is its owner?",
                "Who would know about {s}, being its owner?",
            ],
        },
        FactText {
            label: "Support hours",
            kind: Kind::Hours,
            stated: &[
                "Support for {s} is available from {v}.",
                "The support hours of {s} are {v} on working days.",
                "From {v} somebody helps with {s} by telephone and chat.",
                "Outside the support hours, {v}, {s} runs without a guarantee.",
            ],
            asked: &[
                "{s} does not start. When is support available?",
                "During which hours does anyone give support on {s}?",
                "From what time in the morning is there help with {s}, and until when?",
                "At which hours can I call the support about {s}?",
                "What are support times like for {s}?",
                "Between which times is {s} looked after by support?",
                "When could someone help me with a problem in {s}?",
            ],
        },
    ],
    headings: ["What it does", "Access", "Operation"],
    topics: [
        &[
            "Most people use it in the browser, and drivers use it on the handheld.",
            "It exchanges data with the accounting system every night.",
            "Reports may be saved as a table and sent to oneself on a schedule.",
            "The help page inside the program explains each field with an example.",
            "A test copy with invented data is open to everyone who wants to practise.",
            "Two releases a year bring what users have asked for most.",
        ],
        &[
            "Access is requested in the self-service portal and granted on the next working day.",
            "Rights follow the role: reading for all, writing for those who need it.",
            "The second factor is required, also within the building.",
            "An account that has not been used for ninety days is locked.",
            "Outside partners receive a guest account that ends with their contract.",
            "Passwords are never sent by mail and never told to anyone, not even to {dept}.",
        ],
        &[
            "Backups are taken every night and a restore is rehearsed twice a year.",
            "Maintenance takes place on the second Sunday of the month.",
            "Disturbances are announced on the status page and, when they are grave, by text message.",
            "Please report what you did, what you expected and what you saw instead.",
            "Lines and scanners are looked after by {dept}, extension {ext}.",
            "Data older than the law requires is removed by a job that runs in January.",
        ],
    ],
    items: &[
        item(
            "TourMaster",
            "It plans routes, shows where each lorry is and tells customers the expected hour.",
        ),
        item("StockView", "It counts what lies in which warehouse and proposes where to put new goods."),
        item("CargoLedger", "It writes invoices, books payments and reminds those who are late."),
        item("DockClock", "It assigns doors to lorries and measures how long they wait."),
        item("PeopleHub", "It holds personnel files, absences and the plan of shifts."),
        item("LabelForge", "It prints labels and checks that each code can be read."),
        item("TariffWise", "It knows tariff numbers, duties and the licences that go with them."),
        item("ColdWatch", "It records temperatures every minute and wakes the person on duty."),
        item("QuoteBench", "It calculates offers from distance, weight and season."),
        item("ScanBox", "It reads incoming paper and files it under the right order."),
        item(
            "FleetPulse",
            "It collects mileage and faults from vehicles and proposes dates for the workshop.",
        ),
        item("TicketBay", "It collects requests to all internal teams and shows how far they are."),
        item("VaultDrive", "It stores documents with versions and keeps confidential folders apart."),
        item("BeaconMail", "It sends newsletters to customers who have agreed to receive them."),
        item("SafeGate", "It opens doors by badge and knows who is in the building when there is a fire."),
        item("LearnPort", "It offers courses, keeps certificates and reminds people before they run out."),
        item("RailLink", "It books slots on trains and follows wagons across borders."),
        item("CarbonCount", "It calculates emissions for each consignment and writes the yearly report."),
    ],
};
