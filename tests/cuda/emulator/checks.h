#pragma once

void check_threads();
void check_endless_loop();
void check_numbers();
void check_runtime();
