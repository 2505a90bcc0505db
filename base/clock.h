/* Time for measuring. */
#ifndef SPARKC_BASE_CLOCK_H
#define SPARKC_BASE_CLOCK_H

/* Seconds since some moment; never goes backwards. */
double clock_seconds(void);

#endif
