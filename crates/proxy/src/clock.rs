use evenkeel_site::time;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

/// How often a worker looks at its deadlines. A timeout is late by at most this much and never early.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// The time of a worker, as of the last tick, and the deadlines of its connections.
///
/// One connection changes its deadline several times in each request and almost never reaches it. So a deadline is a
/// number that the ticking task compares, not an entry in a timer wheel.
#[derive(Debug)]
pub(crate) struct Clock {
    started_at: Instant,
    now: Cell<Duration>,
    date: RefCell<Date>,
    slots: RefCell<Vec<Option<Rc<Slot>>>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Date {
    second: i64,
    text: Vec<u8>,
}

/// A connection as the clock sees it.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    deadline: Cell<Option<Duration>>,
    waker: RefCell<Option<Waker>>,
    /// When the connection became idle between two requests, or `None` while it is busy.
    idle_since: Cell<Option<Duration>>,
    close: Cell<bool>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let clock = Clock {
            started_at: Instant::now(),
            now: Cell::default(),
            date: RefCell::new(Date { second: -1, text: Vec::new() }),
            slots: RefCell::default(),
            free: RefCell::default(),
        };
        clock.tick();
        clock
    }

    /// Advances the time and wakes the connections whose deadline has passed.
    pub(crate) fn tick(&self) {
        let now = self.started_at.elapsed();
        self.now.set(now);
        let second = unix_time().as_secs() as i64;
        let mut date = self.date.borrow_mut();
        if date.second != second {
            date.second = second;
            date.text.clear();
            time::http(second, &mut date.text);
        }
        for slot in self.slots.borrow().iter().flatten() {
            if slot.deadline.get().is_some_and(|deadline| deadline <= now) {
                slot.wake();
            }
        }
    }

    /// The time of the last tick.
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    /// The time now. Costs a call of the vDSO.
    pub(crate) fn precise(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Value of the `Date` header.
    pub(crate) fn append_date(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.date.borrow().text);
    }

    /// A slot for a new connection, freed when the handle is dropped.
    pub(crate) fn slot(self: &Rc<Self>) -> SlotHandle {
        let slot = Rc::new(Slot::default());
        let mut slots = self.slots.borrow_mut();
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                slots[index] = Some(Rc::clone(&slot));
                index
            }
            None => {
                slots.push(Some(Rc::clone(&slot)));
                slots.len() - 1
            }
        };
        SlotHandle { clock: Rc::clone(self), slot, index }
    }

    /// Asks every connection to close that waits for its next request.
    pub(crate) fn close_idle(&self) {
        for slot in self.slots.borrow().iter().flatten() {
            slot.close.set(true);
            if slot.idle_since.get().is_some() {
                slot.wake();
            }
        }
    }

    /// Asks the connection to close that has been idle longest; false when none is idle.
    pub(crate) fn shed_one(&self) -> bool {
        let slots = self.slots.borrow();
        let idle = slots.iter().flatten().filter(|slot| !slot.close.get() && slot.idle_since.get().is_some());
        let Some(oldest) = idle.min_by_key(|slot| slot.idle_since.get()) else { return false };
        oldest.close.set(true);
        oldest.wake();
        true
    }
}

impl Slot {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// Owner of a [`Slot`].
#[derive(Debug)]
pub(crate) struct SlotHandle {
    clock: Rc<Clock>,
    slot: Rc<Slot>,
    index: usize,
}

impl Drop for SlotHandle {
    fn drop(&mut self) {
        self.clock.slots.borrow_mut()[self.index] = None;
        self.clock.free.borrow_mut().push(self.index);
    }
}

impl SlotHandle {
    /// Repeats `step` as it is woken, until it is ready or `limit` has passed since this call.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        self.arm(limit);
        self.until_deadline(step).await
    }

    /// Starts the deadline that [`SlotHandle::until_deadline`] observes.
    pub(crate) fn arm(&self, limit: Duration) {
        self.slot.deadline.set(Some(self.clock.now().saturating_add(limit).saturating_add(TICK)));
    }

    /// As [`SlotHandle::within`], with the deadline set before.
    pub(crate) async fn until_deadline<T>(
        &self,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        std::future::poll_fn(|cx| {
            let outcome = step(cx);
            if outcome.is_ready() { outcome } else { self.check(cx) }
        })
        .await
    }

    /// Ready, with an error, once the deadline has passed; otherwise the task is woken then.
    pub(crate) fn check<T>(&self, cx: &Context<'_>) -> Poll<io::Result<T>> {
        if self.slot.deadline.get().is_some_and(|deadline| deadline <= self.clock.now()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.slot.remember(cx);
        Poll::Pending
    }

    /// Marks the connection as waiting for its next request, or not.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.slot.idle_since.set(idle.then(|| self.clock.now()));
    }

    /// Whether the worker wants this connection gone as soon as it is idle.
    pub(crate) fn should_close(&self) -> bool {
        self.slot.close.get()
    }
}

/// Time since 1970.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_is_shed_and_each_only_once() {
        let clock = Rc::new(Clock::new());
        let (busy, idle) = (clock.slot(), clock.slot());
        busy.set_idle(false);
        idle.set_idle(true);
        assert!(clock.shed_one());
        assert!(idle.should_close() && !busy.should_close());
        assert!(!clock.shed_one());
        drop(idle);
        assert_eq!(clock.slot().index, 1);
    }
}
