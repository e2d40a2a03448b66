//! Records: how long they are kept, and where.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const RECORDS: Category = Category {
    folder: "records",
    overview: "Retention schedule",
    noun: "Record",
    article: "",
    proper: false,
    facts: [
        FactText {
            label: "Retention period",
            kind: Kind::Years,
            stated: &[
                "The retention period for {s} is {v}.",
                "We keep {s} for {v}, counted from the end of the year.",
                "After {v} {s} may be destroyed.",
                "The law and our own needs together give a retention period of {v}.",
            ],
            asked: &[
                "How many years do {s} have to stay with us?",
                "When can we shred {s}?",
                "What's the retention on {s}, in years?",
                "For how many years must I keep {s}?",
                "After how many years may {s} go into the shredder?",
                "I'm tidying up and found {s}. How long are we obliged to keep them?",
            ],
        },
        FactText {
            label: "Storage place",
            kind: Kind::Archive,
            stated: &[
                "On paper, {s} are stored in {v}.",
                "The storage place is {v}, which is locked.",
                "You find {s} in {v}.",
                "Boxes with {s} go to {v}.",
            ],
            asked: &[
                "In which archive room are {s}?",
                "Where do boxes full of {s} go?",
                "Which room holds {s}?",
                "An auditor wants to see {s}. Where are they stored?",
                "Where should I look if I need old {s}?",
                "Into which storage place do we put {s}?",
            ],
        },
    ],
    headings: ["What belongs here", "Storing", "Destroying"],
    topics: [
        &[
            "Drafts and doubles do not count and may be thrown away at once.",
            "Mails belong to the record when they change a price, a date or a duty.",
            "The department that made the record answers for its completeness.",
            "Pictures from a telephone are moved to VaultDrive within a week.",
            "Notes with a signature are kept as originals.",
            "A record of a running dispute is never destroyed, whatever its age.",
        ],
        &[
            "Boxes are labelled with the year and the department and are never packed above shoulder height.",
            "Scans are stored in two places, one of them at {site}.",
            "Access is noted in a list by the door.",
            "Personal data is kept in a cabinet of its own.",
            "Whoever borrows a folder leaves a card with name and date.",
            "For keys to the room, ask {dept} on extension {ext}.",
        ],
        &[
            "Destruction takes place in February, under two pairs of eyes.",
            "A certified company shreds the paper and hands over a receipt.",
            "Disks are wiped and drilled.",
            "Before that, the owner confirms in writing that nothing is needed any more.",
            "The list of what was destroyed is kept for good.",
            "Microfilms from the early years belong to the museum.",
        ],
    ],
    items: &[
        item("Delivery notes", "Signed notes prove that goods have arrived."),
        item("Freight invoices", "Outgoing and incoming invoices belong here, with what explains them."),
        item("Tachograph files", "They show when a driver drove and when he or she rested."),
        item("Job applications", "Letters and talks with candidates who were not hired."),
        item("Personnel files", "Contracts, evaluations and certificates of people who have left."),
        item("Temperature logs", "Curves from trailers and cold stores prove that the chain was unbroken."),
        item("Accident files", "Reports, pictures and letters after injuries."),
        item("Customs declarations", "Declarations with their supporting papers."),
        item("Board minutes", "What was decided, by whom and with which votes."),
        item("Tender documents", "Offers that we made and offers that we received."),
        item("Visitor logs", "Names and times of guests at the gates."),
        item("Maintenance logs", "What was repaired on vehicles and machines, and with which parts."),
    ],
};
