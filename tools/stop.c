#include "tools/stop.h"

#include <signal.h>

static volatile sig_atomic_t wanted;

static void stop(int number) {
    wanted = 1;
    signal(number, SIG_DFL);
}

void stop_catch(void) {
    struct sigaction action = {.sa_handler = stop};
    wanted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool stop_wanted(void) {
    return wanted;
}
