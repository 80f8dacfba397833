# The interface that bench.capnp_side serves and calls.
@0xb6f3c1d2a4e59788;

struct Record {
  id @0 :Int64;
  name @1 :Text;
  email @2 :Text;
  active @3 :Bool;
  score @4 :Float64;
}

interface Listener {
  event @0 (number :Int64, text :Text) -> ();
}

interface Service {
  echo @0 (text :Text) -> (text :Text);
  records @1 (records :List(Record)) -> (records :List(Record));
  numbers @2 (numbers :List(Int64)) -> (count :Int64);
  upload @3 (data :Data) -> (count :Int64);
  subscribe @4 (listener :Listener) -> ();
  publish @5 (count :Int64) -> (count :Int64);
}

interface Door {
  open @0 (name :Text, password :Text) -> (service :Service);
}
