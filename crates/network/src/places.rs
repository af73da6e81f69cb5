//! A few things that come and go, found again by their place.

/// Where something is kept; never the same for two things, even if one follows the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub index: u16,
    pub generation: u32,
}

/// A few things kept in numbered places.
#[derive(Debug)]
pub(crate) struct Places<T> {
    places: Vec<Option<(u32, T)>>,
    most: usize,
    generation: u32,
}

impl<T> Places<T> {
    pub fn new(most: usize) -> Places<T> {
        Places { places: Vec::new(), most, generation: 0 }
    }

    /// A place nobody has, unless all are taken.
    pub fn free(&mut self) -> Option<Place> {
        let index = match self.places.iter().position(Option::is_none) {
            Some(index) => index,
            None if self.places.len() < self.most => {
                self.places.push(None);
                self.places.len() - 1
            }
            None => return None,
        };
        self.generation = self.generation.wrapping_add(1);
        Some(Place { index: index as u16, generation: self.generation })
    }

    pub fn put(&mut self, place: Place, thing: T) {
        self.places[usize::from(place.index)] = Some((place.generation, thing));
    }

    pub fn at(&mut self, place: Place) -> Option<&mut T> {
        match self.places.get_mut(usize::from(place.index)) {
            Some(Some((generation, thing))) if *generation == place.generation => Some(thing),
            _ => None,
        }
    }

    pub fn take(&mut self, place: Place) -> Option<T> {
        self.at(place)?;
        let (_, thing) = self.places[usize::from(place.index)].take()?;
        // With nothing left, neither is the memory.
        if self.is_empty() {
            self.places = Vec::new();
        }
        Some(thing)
    }

    /// The places of all that are `wanted`.
    pub fn all(&self, wanted: impl Fn(&T) -> bool) -> Vec<Place> {
        let place = |(index, place): (usize, &Option<(u32, T)>)| match place {
            Some((generation, thing)) if wanted(thing) => {
                Some(Place { index: index as u16, generation: *generation })
            }
            _ => None,
        };
        self.places.iter().enumerate().filter_map(place).collect()
    }

    /// The place of the thing that `since` is longest ago for.
    pub fn oldest(&self, since: impl Fn(&T) -> std::time::Instant) -> Option<Place> {
        let places = self.places.iter().enumerate();
        let taken = places.filter_map(|(index, place)| {
            place.as_ref().map(|(generation, thing)| (index, *generation, since(thing)))
        });
        let (index, generation, _) = taken.min_by_key(|(_, _, since)| *since)?;
        Some(Place { index: index as u16, generation })
    }

    pub fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }
}
