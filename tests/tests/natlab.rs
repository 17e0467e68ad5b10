//! The NAT laboratory itself: what its rooms let through and what not.

use causeway_tests::lab::Lab;
use causeway_tests::requires;

#[test]
fn every_room_lets_through_what_it_is_drawn_to() {
    requires!(Namespaces);
    let lab = Lab::up(&[]);
    if let Err(words) = lab.check() {
        panic!("{words}");
    }
}
