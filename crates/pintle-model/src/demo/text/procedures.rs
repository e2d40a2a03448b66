//! Procedures: numbered steps, who is responsible, and within what time.

use super::{Category, FactText, Kind, stepped};

pub(in crate::demo) const PROCEDURES: Category = Category {
    folder: "procedures",
    overview: "Procedures in brief",
    noun: "Procedure",
    article: "the ",
    proper: false,
    facts: [
        FactText {
            label: "Responsible",
            kind: Kind::Role,
            stated: &[
                "The {v} is responsible for {s} from beginning to end.",
                "Responsible for {s} is the {v} on duty.",
                "For {s} the {v} is responsible, and nobody else gives orders meanwhile.",
                "The {v} starts {s} and is responsible for its record.",
            ],
            asked: &[
                "Which role is responsible once {s} is started?",
                "Who has to take over {s}?",
                "Whose task is {s}?",
                "Who bears the responsibility in {s}?",
                "Something happened: who has to handle {s}?",
                "Which role carries out {s}?",
                "For {s}, who is the responsible person?",
            ],
        },
        FactText {
            label: "Time limit",
            kind: Kind::TimeLimit,
            stated: &[
                "The time limit for {s} is {v}.",
                "It must be finished within {v}.",
                "All steps together may take {v} and no longer.",
                "Within {v} {s} has to be closed.",
            ],
            asked: &[
                "How quickly does {s} have to be completed?",
                "How much time is allowed for {s}?",
                "What's the longest {s} may take?",
                "What time limit do we have with {s}?",
                "How soon must {s} be finished?",
                "When does the time run out for {s}?",
                "In what time should {s} be over?",
            ],
        },
    ],
    headings: ["When to start", "Keep in mind", "Afterwards"],
    topics: [
        &[
            "Start it as soon as you notice the event, even when you are not sure.",
            "Doubt is a reason to begin, not to wait.",
            "Tell the people around you in plain words what is going on.",
            "At night the person on call decides with you.",
            "If two events happen together, the safety of people comes first.",
        ],
        &[
            "Nobody is blamed for starting too early.",
            "Write down times while you act, because memory is kind.",
            "Call {dept} on extension {ext} when a step cannot be carried out.",
            "Customers are informed by one person, so that they hear one story.",
            "The same steps hold at {site} and at all other sites.",
        ],
        &[
            "The record is stored in TicketBay under the day's date.",
            "A short talk with all who took part closes the matter.",
            "What could be done better is added to this page within a month.",
            "Twice a year the procedure is rehearsed.",
            "The Internal Audit Team reads three records at random each quarter.",
        ],
    ],
    items: &[
        stepped(
            "Spill response",
            "It begins when a liquid leaks from a barrel, a tank or a vehicle.",
            &[
                "Stop the source if it is safe",
                "Block the drains",
                "Spread absorbent powder",
                "Collect the waste in marked bins",
                "Write the spill record",
            ],
        ),
        stepped(
            "Fire evacuation",
            "It clears a building when the alarm sounds.",
            &[
                "Leave everything where it is",
                "Use the nearest green exit",
                "Walk to the assembly point",
                "Count the people of your shift",
            ],
        ),
        stepped(
            "Lost parcel search",
            "It is started when a parcel has not been scanned for a day.",
            &[
                "Check the last scan",
                "Search the cage of that tour",
                "Ask the driver",
                "Look through the unlabelled shelf",
                "Tell the customer",
            ],
        ),
        stepped(
            "Damaged pallet intake",
            "It is used when goods arrive crushed, wet or open.",
            &[
                "Photograph all four sides",
                "Note the damage on the delivery note",
                "Move the pallet to the yellow zone",
                "Inform the sender",
            ],
        ),
        stepped(
            "Temperature alarm",
            "It is triggered by a probe outside its range.",
            &[
                "Confirm the value by hand",
                "Close all doors",
                "Switch to the second cooling unit",
                "Move sensitive goods",
                "Call the customer",
            ],
        ),
        stepped(
            "Trailer breakdown",
            "It helps drivers who are stranded with a full load.",
            &[
                "Secure the place",
                "Report position and load",
                "Wait for the mobile workshop",
                "Transfer the load if needed",
            ],
        ),
        stepped(
            "Theft report",
            "It is opened when goods, tools or vehicles are missing.",
            &[
                "Block the area",
                "Save the camera pictures",
                "Call the police",
                "List what is missing",
                "Inform the insurer",
            ],
        ),
        stepped(
            "System outage",
            "It is called when a main program has been down for ten minutes.",
            &[
                "Switch to paper lists",
                "Announce the outage",
                "Start the fallback server",
                "Enter the paper lists later",
            ],
        ),
        stepped(
            "Data breach",
            "It deals with personal data that reached the wrong person.",
            &[
                "Stop the leak",
                "Save the evidence",
                "Judge the risk",
                "Report to the authority",
                "Inform the people concerned",
            ],
        ),
        stepped(
            "New hire welcome",
            "It makes the first days of a colleague pleasant.",
            &[
                "Prepare desk and badge",
                "Name a mentor",
                "Show the building",
                "Plan the safety training",
                "Meet after four weeks",
            ],
        ),
        stepped(
            "Leaver checkout",
            "It ends an employment in an orderly manner.",
            &[
                "Collect badge and keys",
                "Close the accounts",
                "Hand over open tasks",
                "Write the reference letter",
            ],
        ),
        stepped(
            "Supplier onboarding",
            "It admits a new supplier after proper checks.",
            &[
                "Check the company register",
                "Ask for two references",
                "Sign the code for suppliers",
                "Create the account",
                "Place a trial order",
            ],
        ),
        stepped(
            "Credit check",
            "It precedes the first invoice to a new customer.",
            &[
                "Request a report",
                "Set a limit",
                "Enter the limit in CargoLedger",
                "Tell the sales colleague",
            ],
        ),
        stepped(
            "Stock count",
            "It compares shelves and books at the end of a quarter.",
            &[
                "Stop all movements",
                "Count each aisle twice",
                "Compare the two counts",
                "Correct the books",
                "Explain large differences",
            ],
        ),
        stepped(
            "Reefer loading",
            "It keeps the chain unbroken while doors stand open.",
            &["Cool the trailer down", "Measure the goods", "Load without a break", "Seal the doors"],
        ),
        stepped(
            "Oversize transport",
            "It prepares loads that are wider or longer than the law permits.",
            &[
                "Measure the load",
                "Apply for the permit",
                "Book the escort",
                "Drive the route in advance",
                "Travel at night",
            ],
        ),
        stepped(
            "Complaint escalation",
            "It lifts a complaint to the next level when the first answer did not help.",
            &["Read the whole case", "Call the customer", "Offer a remedy", "Confirm it in writing"],
        ),
        stepped(
            "Snow clearance",
            "It keeps yards and ramps open in winter.",
            &[
                "Watch the forecast",
                "Call the ploughs",
                "Grit the walking routes",
                "Clear the ramps",
                "Report ready to dispatch",
            ],
        ),
    ],
};
