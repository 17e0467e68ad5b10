//! When an actor's machine is to be asked again.

use std::time::Instant;

use actix::prelude::*;

/// The next instant, if one is set.
#[derive(Default)]
pub(crate) struct Timer(Option<(Instant, SpawnHandle)>);

impl Timer {
    /// Has `due` called at `next`, unless it is called before that anyway. `due` clears the timer.
    pub(crate) fn set<A>(
        &mut self,
        next: Option<Instant>,
        ctx: &mut Context<A>,
        due: fn(&mut A, &mut Context<A>),
    ) where
        A: Actor<Context = Context<A>>,
    {
        let Some(next) = next else { return };
        if self.0.is_some_and(|(at, _)| at <= next) {
            return;
        }
        if let Some((_, old)) = self.0.take() {
            ctx.cancel_future(old);
        }
        let wait = next.saturating_duration_since(Instant::now());
        self.0 = Some((next, ctx.run_later(wait, due)));
    }

    /// Notes that it has come.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}
