//! Sites: depots, terminals and hubs with managers and opening hours.

use super::{Category, FactText, Kind, item};

pub(in crate::demo) const SITES: Category = Category {
    folder: "sites",
    overview: "All sites",
    noun: "Site",
    article: "",
    proper: true,
    facts: [
        FactText {
            label: "Site manager",
            kind: Kind::Person,
            stated: &[
                "{v} is the site manager of {s} and answers for its safety.",
                "The site manager, {v}, walks through {s} every morning.",
                "{s} is managed by {v}, who came from the fleet.",
                "At {s}, {v} manages a team of three shifts.",
            ],
            asked: &[
                "Who is the person in charge on the ground at {s}?",
                "A driver had an accident at {s}; what is the site manager called?",
                "Who manages things at {s} nowadays?",
                "Which manager should I ask for when I get to {s}?",
                "What's the name of whoever runs {s}?",
                "I'm visiting {s} next week, who is the manager there?",
                "Who has the last word as manager at {s}?",
            ],
        },
        FactText {
            label: "Opening hours",
            kind: Kind::Hours,
            stated: &[
                "The gates of {s} are open from {v} on working days.",
                "Opening hours at {s} are {v}; lorries that arrive later wait outside the gate.",
                "Deliveries to {s} are accepted from {v}.",
                "{s} is open from {v}, and closed on public holidays.",
            ],
            asked: &[
                "During which hours can a lorry get into {s}?",
                "What are today's opening hours at {s}?",
                "When do the gates at {s} open and shut?",
                "Between what times may I deliver to {s}?",
                "A driver wants to know the opening times over at {s}.",
                "How early does {s} open, and until when does it stay open?",
                "At which hours is somebody working at the gate of {s}?",
            ],
        },
    ],
    headings: ["The site", "Arriving", "Safety on site"],
    topics: [
        &[
            "The hall has twenty-two doors, six of them with levellers for low trailers.",
            "Half of the roof carries solar panels, which feed the chargers for the forklifts.",
            "Goods are sorted by region in the night and leave before the morning traffic.",
            "A small office on the gallery houses planning, and a canteen serves two warm dishes a day.",
            "The yard was repaved last year and now has a lane of its own for swap bodies.",
            "Around ninety people work here in three shifts.",
        ],
        &[
            "Drivers report at the gate with the order number and a valid identity card.",
            "A door is assigned by text message; please wait in the marked lane until it arrives.",
            "Private cars park on the north side, and the bus stops in front of the main entrance.",
            "Visitors receive a badge and a yellow vest and are accompanied at all times.",
            "For questions about a delivery, call {dept} on extension {ext}.",
            "Trailers may be left overnight only when the yard office has agreed in writing.",
        ],
        &[
            "Walking routes are painted in green, and nobody crosses the lanes of the forklifts.",
            "Safety shoes are required in the hall and on the yard.",
            "The assembly point is marked by a flag at the far end of the car park.",
            "Fire drills take place twice a year without notice.",
            "Each near miss is written down on the day on which it happened and is discussed with the shift.",
            "First aid boxes hang beside every second door, and a defibrillator hangs at the reception desk.",
        ],
    ],
    items: &[
        item(
            "Depot Rostock",
            "The oldest depot of the company serves the ferries to Scandinavia and stores timber and paper.",
        ),
        item("Depot Bremen", "Cars and car parts pass through here on their way to the port."),
        item(
            "Terminal Gdansk",
            "Containers from the Baltic feeder lines are unpacked here and sent on by rail.",
        ),
        item("Terminal Antwerp", "The terminal handles chemicals in tanks and has a washing bay for them."),
        item("Hub Leipzig", "The night hub sorts parcels for the whole of central Europe in five hours."),
        item("Hub Lyon", "Textiles and cosmetics for southern Europe are picked and packed here."),
        item(
            "Warehouse Aarhus",
            "Furniture is stored on high racks and delivered to homes with two people on each van.",
        ),
        item(
            "Warehouse Tallinn",
            "Electronics are tested, labelled and shipped from a hall with its own workshop.",
        ),
        item("Cold Store Kiel", "Fish and frozen berries are kept here at minus twenty-two degrees."),
        item("Cold Store Turin", "Cheese, wine and chocolate are stored in four zones of temperature."),
        item("Rail Yard Duisburg", "Trains from the east are unloaded here under two large cranes."),
        item(
            "River Port Mannheim",
            "Barges bring grain and gravel, and a conveyor takes both into the silos.",
        ),
        item("Cross Dock Malmo", "Goods stay for less than four hours, as the hall has no racks at all."),
        item("Cross Dock Vienna", "Loads for eastern Europe change from long to short lorries here."),
        item("Pharma Centre Basel", "Medicine is stored under two pairs of eyes, with a log for every door."),
        item(
            "Training Yard Lubeck",
            "Drivers practise reversing, braking and securing loads on a closed track.",
        ),
    ],
};
