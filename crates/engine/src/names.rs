//! Names for what was given none: containers' (`brisk_heron`) and ids.
//!
//! Knows words. Knows nothing of which names are taken; whoever asks draws again, or adds a number.

use std::io;

use types::{Id, Name};

use crate::error::EngineError;

/// A new id. None is made of digits alone where it is shown short: a hostname of that kind reads as a number.
pub fn random_id<Of>() -> Result<Id<Of>, EngineError> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let id = Id::from_random(bytes);
        if !id.is_numeric() {
            return Ok(id);
        }
    }
}

/// A name for a container, drawn at random.
pub fn random_name() -> Result<Name, EngineError> {
    Ok(random(getrandom::u64().map_err(io::Error::other)?).parse()?)
}

/// The name that `seed` leads to. Seeds that are random give every name with equal chance.
pub fn random(seed: u64) -> String {
    let pick = |words: &'static [&'static str], seed: u64| words[(seed % words.len() as u64) as usize];
    let adjective = pick(ADJECTIVES, seed);
    let noun = pick(NOUNS, seed / ADJECTIVES.len() as u64);
    format!("{adjective}_{noun}")
}

/// How a boat, a bird or the weather may be.
#[rustfmt::skip]
const ADJECTIVES: &[&str] = &[
    "able", "agile", "airy", "alert", "amber", "ample", "azure", "balmy", "bold", "brave", "breezy", "bright",
    "brisk", "bronze", "buoyant", "calm", "candid", "careful", "cheery", "clear", "clever", "cobalt", "copper",
    "coral", "cosy", "crisp", "curious", "daring", "dashing", "deft", "distant", "eager", "early", "earnest",
    "easy", "emerald", "even", "faithful", "fearless", "fleet", "fluent", "fond", "free", "fresh", "gentle",
    "gilded", "glad", "golden", "graceful", "hardy", "hearty", "humble", "indigo", "jade", "jolly", "keen",
    "kind", "lasting", "lively", "lucid", "lucky", "mellow", "merry", "mild", "misty", "modest", "neat",
    "nimble", "noble", "northern", "open", "patient", "pearly", "placid", "plucky", "polished", "prompt",
    "proud", "quick", "quiet", "rapid", "ready", "roaming", "rosy", "rugged", "salty", "scarlet", "serene",
    "silver", "sleek", "smooth", "snug", "solid", "southern", "spry", "stable", "steady", "stout", "sunny",
    "swift", "tidal", "tidy", "tranquil", "trim", "trusty", "upbeat", "valiant", "vivid", "warm", "wise",
    "witty", "zesty",
];

/// What is met on rivers and at sea: boats and their parts, birds, fish, winds, shores.
#[rustfmt::skip]
const NOUNS: &[&str] = &[
    "abalone", "albatross", "anchor", "anchovy", "anemone", "angelfish", "archipelago", "auk", "avocet", "barge",
    "barnacle", "barque", "bay", "bayou", "beach", "beacon", "beam", "bittern", "boatswain", "bollard", "boom",
    "bosun", "bow", "bowline", "bream", "breaker", "breeze", "brig", "brook", "bulkhead", "buoy", "canal", "canoe",
    "cape", "capstan", "captain", "caravel", "carp", "catamaran", "channel", "char", "chart", "clam", "cleat",
    "clipper", "coast", "cockle", "coble", "cod", "compass", "coot", "coracle", "cormorant", "cove", "crab",
    "crane", "creek", "crest", "curlew", "current", "cutter", "cuttlefish", "cygnet", "davit", "deck", "delta",
    "dhow", "dinghy", "dipper", "diver", "dock", "dolphin", "dory", "dugong", "dune", "dunlin", "eddy", "egret",
    "eider", "estuary", "fathom", "felucca", "ferry", "fjord", "flagship", "flamingo", "flounder", "foam",
    "ford", "frigate", "fulmar", "furl", "galleon", "gannet", "garfish", "gig", "godwit", "gondola", "goosander",
    "grebe", "grouper", "gull", "gunwale", "haddock", "halibut", "halyard", "harbour", "hatch", "haven", "heron",
    "herring", "horizon", "hull", "ibis", "inlet", "island", "isthmus", "jetty", "jib", "junk", "kayak", "keel",
    "kelp", "ketch", "kingfisher", "kittiwake", "knot", "lagoon", "lantern", "lanyard", "lapwing", "ledge",
    "lighthouse", "limpet", "lobster", "loon", "lugger", "mackerel", "mallard", "manatee", "mangrove", "marina",
    "mariner", "marlin", "marsh", "mast", "merganser", "minnow", "mistral", "mizzen", "monsoon", "mooring",
    "moorhen", "mullet", "mussel", "narwhal", "nautilus", "navigator", "oar", "ocean", "octopus", "osprey", "otter",
    "outrigger", "oyster", "packet", "paddle", "passage", "pearl", "pelican", "penguin", "perch", "petrel",
    "pier", "pilot", "pintail", "pirogue", "plover", "pond", "porpoise", "port", "prow", "puffin", "punt", "quay",
    "raft", "rail", "ratline", "reef", "regatta", "ripple", "river", "rudder", "sailor", "salmon", "sampan",
    "sandbar", "sandpiper", "sardine", "scallop", "schooner", "scow", "seahorse", "seal", "sextant", "shearwater",
    "shelduck", "shoal", "shore", "skerry", "skiff", "skipper", "sloop", "smelt", "snipe", "sound", "spar",
    "spinnaker", "spray", "squid", "starfish", "stern", "stork", "strait", "stream", "sturgeon", "surf", "swan",
    "swell", "tarpon", "teal", "tern", "tide", "tiller", "topsail", "trawler", "trimaran", "trout", "tugboat",
    "tuna", "turbot", "turnstone", "turtle", "umiak", "voyager", "wader", "walrus", "warbler", "wave", "wharf",
    "wherry", "whimbrel", "whitecap", "wigeon", "willet", "windlass", "xebec", "yacht", "yawl", "zephyr",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_valid_and_comes_from_its_own_seed() {
        let count = ADJECTIVES.len() * NOUNS.len();
        assert!(count > 20_000, "{count} names");
        let names: HashSet<String> = (0..count as u64).map(random).collect();
        assert_eq!(names.len(), count);
        for name in &names {
            assert!(name.parse::<types::Name>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_name() {
        assert_eq!(random(0), "able_abalone");
        assert_eq!(random(u64::MAX), random(u64::MAX));
        assert_eq!(random(ADJECTIVES.len() as u64), "able_albatross");
    }
}
