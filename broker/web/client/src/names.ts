/** The names of errors on the wire. */
export const NAMES = {
  method: "twisted.spread.flavors.NoSuchMethod",
  object: "broker.errors.NoSuchObject",
  insecure: "twisted.spread.jelly.InsecureJelly",
  malformed: "jelly.errors.MalformedJelly",
  limit: "jelly.errors.LimitExceeded",
  cannot: "jelly.errors.CannotJelly",
  large: "jelly.errors.TooLarge",
  timeout: "broker.errors.CallTimeout",
  busy: "broker.errors.ServerBusy",
  broken: "broker.errors.BrokenPromise",
} as const;
