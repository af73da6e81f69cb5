//! Names that the command line gives a meaning of its own: they go before images, and before stages.

use types::Platform;

use super::{PlanError, Planner};
use crate::{
    config,
    diagnostic::Span,
    graph::{Action, Copy, Operation, Origin, Selection, Source},
    input::NamedContext,
};

impl Planner<'_> {
    /// Begins stage `number` on the context called `name`, if there is one.
    pub fn begin_on_named(
        &mut self,
        number: usize,
        name: &str,
        platform: &Platform,
        span: &Span,
    ) -> Result<bool, PlanError> {
        let settings = self.settings;
        let Some((context, named)) = NamedContext::find(name, &settings.contexts) else { return Ok(false) };
        match named {
            NamedContext::Image(image) => self.begin_on_image(number, image, platform, span)?,
            NamedContext::Nothing => self.begin_on_nothing(number),
            NamedContext::Layout(_) => {
                let image = settings.layouts[&context].clone();
                let mut counter = self.counter(number);
                counter.total += 1;
                self.begin(
                    number,
                    image.config.clone(),
                    counter,
                    Some((name.to_owned(), image)),
                    span.clone(),
                );
            }
            NamedContext::Files(_) => {
                let mut counter = self.counter(number);
                counter.total += 1;
                let label = counter.next();
                self.begin(number, config::scratch(platform), counter, None, span.clone());
                let id = self.operations.len();
                let stage = self.stage(span)?;
                let input = Some(std::mem::replace(&mut stage.top, id));
                let action = Action::Copy(all_of(context));
                let title = format!("FROM {name}");
                self.operations
                    .push(Operation { input, ..Operation::source(action, label, title, span.clone()) });
            }
        }
        Ok(true)
    }

    /// Where `--from=name` takes files if there is a context called so.
    pub fn named_origin(&mut self, name: &str, span: &Span) -> Result<Option<Origin>, PlanError> {
        let settings = self.settings;
        let Some((context, named)) = NamedContext::find(name, &settings.contexts) else { return Ok(None) };
        let image = match named {
            NamedContext::Files(_) => return Ok(Some(Origin::Named(context))),
            NamedContext::Nothing => None,
            NamedContext::Layout(_) => Some(Box::new(settings.layouts[&context].clone())),
            NamedContext::Image(image) => Some(Box::new(self.resolve(image, &self.platform(), span)?)),
        };
        let id = self.operations.len();
        let (action, title) = (Action::Base(image), format!("FROM {name}"));
        self.operations.push(Operation::source(action, String::new(), title, span.clone()));
        Ok(Some(Origin::State(id)))
    }
}

/// Everything that a named context has.
fn all_of(context: usize) -> Copy {
    Copy {
        from: Origin::Named(context),
        sources: vec![Source::Files("/".into())],
        selection: Selection::default(),
        destination: "/".into(),
        owner: None,
        mode: None,
        unpack: false,
        link: false,
    }
}
