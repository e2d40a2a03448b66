//! Meeting rooms: how many people they hold, and on which floor they are.

use super::{Category, FactText, Kind, ranged};

pub(in crate::demo) const ROOMS: Category = Category {
    folder: "rooms",
    overview: "All meeting rooms",
    noun: "Room",
    article: "",
    proper: true,
    facts: [
        FactText {
            label: "Capacity",
            kind: Kind::People,
            stated: &[
                "{s} has a capacity of {v}.",
                "There is space for {v} around the table of {s}.",
                "The capacity is {v}, and fire rules allow no more.",
                "Up to {v} may meet in {s}.",
            ],
            asked: &[
                "How many guests can I invite to a meeting in {s}?",
                "How many people are allowed inside {s}?",
                "For what number of people was {s} furnished?",
                "Is {s} large enough? How many people does it hold?",
                "What's the seating capacity in {s}?",
                "How many can sit in {s}?",
            ],
        },
        FactText {
            label: "Floor",
            kind: Kind::Floor,
            stated: &[
                "You find it on the {v} of the head office.",
                "{s} is on the {v}, next to the stairs.",
                "The lift stops on the {v}, a few steps from {s}.",
                "Take the stairs to the {v} and follow the signs to {s}.",
            ],
            asked: &[
                "To which floor do I go if my meeting is in {s}?",
                "I can't find {s}. Which floor?",
                "At what floor do I leave the lift for {s}?",
                "On what level of the head office is {s}?",
                "Guests are waiting for {s}: what floor do I send them to?",
                "Which storey of the building has {s}?",
            ],
        },
    ],
    headings: ["The room", "Booking it", "House rules"],
    topics: [
        &[
            "A screen, a camera and two microphones are built in.",
            "The window looks onto the river, and the blinds close at the press of a button.",
            "Whiteboard pens lie in the drawer beneath the screen.",
            "The tables can be moved together or along the walls.",
            "A loop for hearing aids lies under the carpet.",
            "Fresh air is controlled by a sensor, so that heads stay clear.",
        ],
        &[
            "It is booked in the calendar, for two hours at most and up to eight weeks ahead.",
            "A booking that nobody has opened after fifteen minutes is released.",
            "Coffee and cake are ordered on the day before from Greenfield Catering.",
            "For larger meetings {dept} can help on extension {ext}.",
            "Guests are announced at the reception desk with name and company.",
            "Series of meetings are discussed with the office first.",
        ],
        &[
            "Please leave it as you would like to find it.",
            "Wipe the board, close the windows and switch off the screen.",
            "Confidential papers go into the locked bin and not onto the table.",
            "Food with a strong smell is better eaten in the canteen.",
            "What is broken is reported on the spot by the code on the door.",
            "The last one to leave in the evening turns down the heating.",
        ],
    ],
    items: &[
        ranged(
            "Compass Room",
            "Our largest room is used for town halls and for the Christmas choir.",
            40,
            80,
        ),
        ranged("Lantern Room", "A quiet corner room without a telephone.", 4, 8),
        ranged("Anchor Room", "The board meets here, beneath the painting of the first ship.", 14, 24),
        ranged("Harbour Room", "It has a kitchen of its own and is popular for workshops.", 18, 32),
        ranged("Seagull Room", "Interviews with applicants are held here.", 3, 7),
        ranged("Driftwood Room", "Its long table was made from an old jetty.", 10, 16),
        ranged("Meridian Room", "Clocks for eight time zones hang on its wall.", 8, 14),
        ranged("Foghorn Room", "Thick walls make it the place for loud presentations.", 20, 36),
        ranged("Tide Room", "It is booked most of all, as it lies beside the entrance.", 6, 12),
        ranged(
            "Sextant Room",
            "Measuring instruments from the founder's collection stand behind glass.",
            9,
            18,
        ),
    ],
};
