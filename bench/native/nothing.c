/* What is started: nothing but the kernel's own part of a start is left. */
int main(void) { return 0; }
