//! Forms: their numbers, and until when they must be handed in.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const FORMS: Category = Category {
    folder: "forms",
    overview: "List of forms",
    noun: "Form",
    article: "the ",
    proper: false,
    facts: [
        FactText {
            label: "Form number",
            kind: Kind::FormNumber,
            stated: &[
                "It carries the form number {v} in its upper right corner.",
                "In the intranet you find {s} under number {v}.",
                "Form {v} is the one to use; older versions are no longer accepted.",
                "{s} has the form number {v}.",
            ],
            asked: &[
                "What number is printed on {s}?",
                "I'm searching the intranet for {s}. Which form number is it?",
                "Which number does the form called {s} carry?",
                "{s}: what is it called by number?",
                "Do you happen to remember the number on {s}?",
                "Under which form number will I find {s}?",
                "What's the official form number for {s}, please?",
            ],
        },
        FactText {
            label: "Deadline",
            kind: Kind::WorkingDays,
            stated: &[
                "Hand it in within {v}, counted from the day of the event.",
                "The deadline is {v}.",
                "You have {v} to send {s} to the right place.",
                "After {v} {s} is returned unread, so please watch the deadline.",
            ],
            asked: &[
                "How many days do I have to hand in {s}?",
                "When do I have to submit {s} at the latest?",
                "What's the deadline once I need to file {s}?",
                "In how many working days must {s} arrive?",
                "Am I too late with {s}? What is the deadline there?",
                "How quickly must I turn in {s}?",
                "Until when may {s} be handed in?",
            ],
        },
    ],
    headings: ["When you need it", "Filling it in", "What happens next"],
    topics: [
        &[
            "Please use it for one case at a time.",
            "For questions before you begin, call {dept} on extension {ext}.",
            "In urgent cases a telephone call comes first and the paper follows.",
            "Colleagues abroad may use the English or the Polish version.",
            "It replaces the three separate sheets that were used before.",
            "Managers may fill it in for a member of their team who is ill.",
        ],
        &[
            "Fields with a star are required; all others help us to be quick.",
            "Write dates with the month as a word, so that nobody mixes up day and month.",
            "Attach copies and keep the originals.",
            "A typed name counts as a signature when you are logged in.",
            "Leave the lower box empty, because it is filled in by the office.",
            "If a question does not fit your case, write a sentence in the remarks.",
        ],
        &[
            "You receive a message as soon as it has been read.",
            "An incomplete sheet is sent back with a note on what is missing.",
            "The decision is stored in your file and can be seen by you at any time.",
            "Objections are possible within a month, in writing and without a fixed form.",
            "Statistics on all forms are published once a year.",
            "The paper copy is destroyed after it has been scanned.",
        ],
    ],
    items: &[
        item(
            "Accident report",
            "It is written after every injury, also after one that needed only a plaster.",
        ),
        item("Holiday request", "It asks for days of leave and names the colleague who stands in."),
        item("Sick note cover sheet", "It accompanies the doctor's note when that arrives on paper."),
        item("Damage notice", "It describes what was broken, where and by whom, with pictures."),
        item("Travel claim", "It lists what was spent on a journey and is settled with the salary."),
        item("Overtime sheet", "It records extra hours and whether they are paid or taken as leave."),
        item("Address change", "It tells payroll and the authorities where you live now."),
        item("Parental leave notice", "It announces how long a parent will stay at home."),
        item("Side job declaration", "It names a second employer and the hours that are worked there."),
        item("Lost badge report", "It blocks the old badge and orders a new one."),
        item("Supplier proposal", "It presents a new supplier with prices and two references."),
        item(
            "Waste transfer slip",
            "It follows each container of special waste to the place where it is treated.",
        ),
        item("Key handover record", "It notes who holds which key and since when."),
        item("Visitor list", "It announces groups of more than five guests at the gate."),
        item("Idea submission", "It explains a suggestion and the money or time that it would save."),
        item("Fuel card request", "It orders a card for a new driver or a new vehicle."),
    ],
};
