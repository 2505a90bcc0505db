/* SIGINT and SIGTERM as a wish to end soon, with what is done so far. */
#ifndef SPARKC_TOOLS_STOP_H
#define SPARKC_TOOLS_STOP_H

#include <stdbool.h>

/* From here on such a signal is a wish; nobody has had it so far. A second one ends the process at
 * once. */
void stop_catch(void);

/* Whether there was one. */
bool stop_wanted(void);

#endif
