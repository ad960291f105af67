package fake

// Variable names what tests run on besides the host: "gpu" is the machine's, on which
// tests of faults are skipped; "fake", the default, is the fake one.
const Variable = "MODELDOCTOR_TEST_DEVICE"
