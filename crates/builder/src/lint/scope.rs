//! Variables and what they stand for, at one place in a Dockerfile.

use std::{cell::RefCell, collections::BTreeMap};

use types::Platform;

use super::Circumstances;
use crate::{
    expand::Expander,
    parse::{Dockerfile, Statement, Word, words},
    recipe::Recipe,
};

/// The variables that are set, and the names that ARG declared without a value.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    values: Vec<(String, String)>,
    declared: Vec<String>,
}

/// What one word comes to.
pub struct Expanded {
    /// `None` if the word cannot be expanded.
    pub text: Option<String>,
    /// Every variable that was looked for, once, in order; and whether it was there.
    pub used: Vec<(String, bool)>,
}

impl Scope {
    pub fn set(&mut self, name: &str, value: String) {
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }

    pub fn declare(&mut self, name: &str) {
        self.declared.push(name.to_owned());
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether `name` is known, with or without a value.
    pub fn knows(&self, name: &str) -> bool {
        self.value(name).is_some() || self.declared.iter().any(|declared| declared == name)
    }

    /// The names of all variables that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }

    pub fn expand(&self, word: &str, escape: char) -> Expanded {
        self.watch(|lookup| Expander { escape, lookup }.word(word).ok())
    }

    /// As [`Scope::expand`], for the content of a here-document.
    pub fn expand_text(&self, text: &str) -> Expanded {
        self.watch(|lookup| Expander { escape: '\\', lookup }.text(text).ok())
    }

    pub fn expand_words(&self, word: &str, escape: char) -> Vec<String> {
        let lookup = |name: &str| self.value(name).map(str::to_owned);
        Expander { escape, lookup: &lookup }.words(word).unwrap_or_default()
    }

    fn watch(&self, expand: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> Option<String>) -> Expanded {
        let used: RefCell<Vec<(String, bool)>> = RefCell::default();
        let lookup = |name: &str| {
            let value = self.value(name).map(str::to_owned);
            let mut used = used.borrow_mut();
            if !used.iter().any(|(known, _)| known == name) {
                used.push((name.to_owned(), value.is_some()));
            }
            value
        };
        let text = expand(&lookup);
        Expanded { text, used: used.into_inner() }
    }
}

/// The variables before the first FROM: what every build knows, and ARG.
pub struct Globals {
    pub scope: Scope,
    /// ARG statements in order: which name, where, with which value, and what its default was made of.
    pub arguments: Vec<GlobalArgument>,
}

/// A name that an ARG before the first FROM declares.
pub struct GlobalArgument {
    pub name: String,
    /// Which of the recipe's statements declares it.
    pub statement: usize,
    pub value: Option<String>,
    /// The variables in its default.
    pub needs: Vec<String>,
}

impl Globals {
    /// As the command line has it.
    pub fn of(recipe: &Recipe, dockerfile: &Dockerfile, circumstances: &Circumstances<'_>) -> Globals {
        Globals::given(recipe, dockerfile, circumstances, circumstances.arguments)
    }

    /// With other values for arguments than those of the command line.
    pub fn given(
        recipe: &Recipe,
        dockerfile: &Dockerfile,
        circumstances: &Circumstances<'_>,
        given: &BTreeMap<String, String>,
    ) -> Globals {
        let mut scope = Scope::default();
        for (name, value) in predefined(&circumstances.platform, &target_name(recipe, circumstances)) {
            let value = circumstances.arguments.get(name).cloned().unwrap_or(value);
            scope.set(name, value);
        }
        let escape = dockerfile.directives.escape;
        let mut arguments = Vec::new();
        for (statement, step) in recipe.arguments.iter().enumerate() {
            for (name, default) in definitions(&step.statement, escape) {
                let expanded = default.filter(|_| !given.contains_key(&name));
                let expanded = expanded.map(|default| scope.expand(&default, escape));
                let needs = expanded.iter().flat_map(|expanded| &expanded.used);
                let needs = needs.filter(|(_, is_set)| *is_set).map(|(name, _)| name.clone()).collect();
                let value = given.get(&name).cloned().or(expanded.and_then(|expanded| expanded.text));
                if let Some(value) = &value {
                    scope.set(&name, value.clone());
                }
                arguments.push(GlobalArgument { name, statement, value, needs });
            }
        }
        Globals { scope, arguments }
    }
}

/// The names an ARG declares, with their defaults.
pub fn definitions(statement: &Statement, escape: char) -> Vec<(String, Option<String>)> {
    let define = |word: Word| match word.text.split_once('=') {
        Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
        None => (word.text, None),
    };
    words::quoted(&statement.arguments, escape).into_iter().map(define).collect()
}

fn target_name(recipe: &Recipe, circumstances: &Circumstances<'_>) -> String {
    let target = circumstances.target.unwrap_or(recipe.stages.len() - 1);
    recipe.stages[target].from.name.clone().unwrap_or_else(|| "default".to_owned())
}

/// What every Dockerfile may use in FROM, and elsewhere once it names it.
fn predefined(target: &Platform, stage: &str) -> Vec<(&'static str, String)> {
    let host = Platform::host();
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    vec![
        ("BUILDPLATFORM", host.to_string()),
        ("BUILDOS", host.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", host.architecture.clone()),
        ("BUILDVARIANT", variant(&host)),
        ("TARGETPLATFORM", target.to_string()),
        ("TARGETOS", target.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", target.architecture.clone()),
        ("TARGETVARIANT", variant(target)),
        ("TARGETSTAGE", stage.to_owned()),
    ]
}
